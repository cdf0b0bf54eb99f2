import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { createLimiter } from '../concurrency/limiter.ts';
import { parseBody, type ReadResult, type RequestKind } from './request-readers.ts';
import type { WorkerTask } from './request-worker.ts';

/** Bodies up to this size are read in the main thread, which takes a few milliseconds. */
const SMALL_BODY_BYTES = 256 * 1024;
/** Memory of the thread: the largest body as text, in pieces and in canonical form. */
const MAX_HEAP_MIB = 384;

const WORKER = new URL(`request-worker${extname(import.meta.filename)}`, import.meta.url);

/** All agents share one thread. */
const inThread = createLimiter(1);
let thread: Worker | undefined;

/**
 * Reads the body of a call. Reads a large one in a worker thread, so that it does not block the server.
 * @param body transferred to the thread; unusable afterwards
 * @throws the reason of the signal when it is aborted while the body waits for the thread
 */
export async function readRequest(
  body: Uint8Array<ArrayBuffer>,
  kind: RequestKind,
  signal: AbortSignal,
): Promise<ReadResult> {
  if (body.length <= SMALL_BODY_BYTES) return parseBody(body, kind);
  return inThread(() => postToThread({ body, kind }), signal);
}

async function postToThread(task: WorkerTask): Promise<ReadResult> {
  const worker = startThread();
  worker.postMessage(task, [task.body.buffer]);
  try {
    const [result]: ReadResult[] = await once(worker, 'message');
    if (result !== undefined) return result;
  } catch {
    // It ran out of memory; the next body gets another thread.
  }
  return { status: 413, reason: 'its body takes too much memory' };
}

/** Starts the thread with the first large body. It does not keep the process alive. */
function startThread(): Worker {
  if (thread !== undefined) return thread;
  const started = new Worker(WORKER, { resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB } });
  started.unref();
  started.on('error', () => {
    if (thread === started) thread = undefined;
  });
  thread = started;
  return started;
}
