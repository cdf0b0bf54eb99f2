import { AppError } from '../errors/app-error.ts';

/**
 * Waits for work that itself goes on.
 * @throws AppError `canceled`, or the signal's reason when that is an AppError, as soon as the signal is aborted
 */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  // Nobody waits for it after an abort.
  work.catch(() => {});
  if (signal.aborted) throw canceled(signal);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(canceled(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The error of a call whose signal was aborted: the reason, when it is one of ours. */
export function canceled(signal: AbortSignal | undefined): AppError {
  const reason: unknown = signal?.reason;
  return reason instanceof AppError ? reason : new AppError('canceled', 'The work was canceled.', { cause: reason });
}
