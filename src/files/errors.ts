import { storageFailure } from '../errors/app-error.ts';

/** Returns whether a file operation failed because the path does not exist. */
export function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR');
}

/** Turns the error of a full or failing disk into the AppError that git gets as well. Returns other errors unchanged. */
export function classifyFileError(error: unknown): unknown {
  return storageFailure(error) ?? error;
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
