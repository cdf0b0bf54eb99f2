import { storageFailure } from '../errors/app-error.ts';

/** Whether a file operation failed because the path does not exist. */
export function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR');
}

/** A disk that takes nothing, met by Node itself, told as the one git meets. Other errors pass. */
export function classifyFileError(error: unknown): unknown {
  return storageFailure(error) ?? error;
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
