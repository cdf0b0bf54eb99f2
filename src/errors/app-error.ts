import { ERROR_CODES, type ErrorCode } from './error-codes.ts';

export type AppErrorOptions = {
  /** The underlying error; logged, never sent. */
  cause?: unknown;
  /** Replaces the remedy of the code when that is too general. */
  remedy?: string;
  /** Seconds after which to retry (`Retry-After`). */
  retryAfter?: number;
  /** Invalid values. */
  errors?: { path: string; message: string }[];
};

/** An error with a stable code, which determines the status, the title and the usual remedy. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly remedy: string;
  readonly retryAfter: number | undefined;
  readonly errors: { path: string; message: string }[] | undefined;

  /** @param detail one sentence for a person, without secrets */
  constructor(code: ErrorCode, detail: string, options: AppErrorOptions = {}) {
    super(detail, { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy ?? ERROR_CODES[code].remedy;
    this.retryAfter = options.retryAfter;
    this.errors = options.errors;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }

  get title(): string {
    return ERROR_CODES[this.code].title;
  }

  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }
}

/** Converts anything thrown into an AppError; an unknown error becomes the cause of an `internal` one. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const storage = storageFailure(error);
  if (storage !== undefined) return storage;
  return new AppError('internal', 'An unexpected error occurred.', { cause: error });
}

/** Codes of Node (errno) and SQLite (https://www.sqlite.org/rescode.html) for a full disk. */
const NO_SPACE = /^(?:ENOSPC|EDQUOT|SQLITE_FULL)$/;
const NOT_WRITABLE = /^(?:EROFS|EIO|SQLITE_READONLY|SQLITE_IOERR|SQLITE_CANTOPEN)/;

/** Converts the errors of a full, read-only or failing disk; returns undefined for any other error. */
export function storageFailure(error: unknown): AppError | undefined {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  const options = { cause: error, retryAfter: 30 };
  if (NO_SPACE.test(code)) return new AppError('disk_full', 'There is no space left on the disk.', options);
  if (NOT_WRITABLE.test(code)) return new AppError('storage_unavailable', 'Writing to the disk failed.', options);
  return undefined;
}
