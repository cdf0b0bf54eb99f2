import { AppError } from '../errors/app-error.ts';

/**
 * Waits for a promise until a signal is aborted. The task behind the promise continues.
 * @throws AppError `canceled`, or the signal's reason if that is an AppError
 */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  // After an abort, nothing else handles a rejection.
  promise.catch(() => {});
  if (signal.aborted) throw canceled(signal);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(canceled(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Returns the error of an aborted call: the signal's reason if that is an AppError. */
export function canceled(signal: AbortSignal | undefined): AppError {
  const reason: unknown = signal?.reason;
  return reason instanceof AppError
    ? reason
    : new AppError('canceled', 'The operation was canceled.', { cause: reason });
}
