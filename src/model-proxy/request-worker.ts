import { parentPort } from 'node:worker_threads';
import { parseBody, type RequestKind } from './request-readers.ts';

/** A large body to read; `read-request.ts` sends one at a time. */
export type WorkerTask = { body: Uint8Array<ArrayBuffer>; kind: RequestKind };

parentPort?.on('message', ({ body, kind }: WorkerTask) => {
  const result = parseBody(body, kind);
  parentPort?.postMessage(result, 'body' in result ? [result.body.buffer] : []);
});
