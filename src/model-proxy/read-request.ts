import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { createLimiter } from '../concurrency/limiter.ts';
import { parseBody, type ReadResult, type RequestKind } from './request-readers.ts';
import type { WorkerTask } from './request-worker.ts';

/** Bodies up to this size, in bytes, are read where they are: it takes a few milliseconds. */
const SMALL_BODY = 256 * 1024;
/** Memory of the thread, in MiB: the largest body as text, in pieces and in canonical form. */
const MAX_HEAP = 384;

const WORKER = new URL(`request-worker${extname(import.meta.filename)}`, import.meta.url);

/** The bodies of all agents wait for the one thread. */
const inTurn = createLimiter(1);
let thread: Worker | undefined;

/**
 * Reads the body of a call: a large one in a thread of its own, so that nobody else waits for it.
 * @param body is given away: the thread takes its memory
 * @throws the reason of the signal when that is aborted before its turn
 */
export async function readRequest(
  body: Uint8Array<ArrayBuffer>,
  kind: RequestKind,
  signal: AbortSignal,
): Promise<ReadResult> {
  if (body.length <= SMALL_BODY) return parseBody(body, kind);
  return inTurn(() => readInThread({ body, kind }), signal);
}

async function readInThread(task: WorkerTask): Promise<ReadResult> {
  const reading = startThread();
  reading.postMessage(task, [task.body.buffer]);
  try {
    const [result]: ReadResult[] = await once(reading, 'message');
    if (result !== undefined) return result;
  } catch {
    // Its memory did not suffice; the next body gets another thread.
  }
  return { status: 413, reason: 'its body takes too much memory' };
}

/** Started with the first large body; it keeps no process alive. */
function startThread(): Worker {
  if (thread !== undefined) return thread;
  const started = new Worker(WORKER, { resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP } });
  started.unref();
  started.on('error', () => {
    if (thread === started) thread = undefined;
  });
  thread = started;
  return started;
}
