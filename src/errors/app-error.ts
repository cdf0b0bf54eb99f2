import { ERROR_CODES, type ErrorCode } from './error-codes.ts';

export type AppErrorOptions = {
  /** What went wrong underneath; logged, never sent. */
  cause?: unknown;
  /** What mends this very case, when the table's remedy is too general. */
  remedy?: string;
  /** Seconds after which trying again makes sense (`Retry-After`). */
  retryAfter?: number;
  /** Offending values, for validation. */
  errors?: { path: string; message: string }[];
};

/** An error with a stable code; everything a client or operator is told about it follows from the code. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly remedy: string;
  readonly retryAfter: number | undefined;
  readonly errors: { path: string; message: string }[] | undefined;

  /** @param detail one sentence for the person who reads it; holds no secret */
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

/** Anything thrown, as an AppError: unknown things become `internal` with the original as cause. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const storage = storageFailure(error);
  if (storage !== undefined) return storage;
  return new AppError('internal', 'An unexpected error happened.', { cause: error });
}

/** What Node (errno) and SQLite (https://www.sqlite.org/rescode.html) call a disk that takes nothing more. */
const NO_SPACE = /^(?:ENOSPC|EDQUOT|SQLITE_FULL)$/;
const NOT_WRITABLE = /^(?:EROFS|EIO|SQLITE_READONLY|SQLITE_IOERR|SQLITE_CANTOPEN)/;

/** A full, read-only or failing disk, wherever it was met; undefined for all else. */
export function storageFailure(error: unknown): AppError | undefined {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  const options = { cause: error, retryAfter: 30 };
  if (NO_SPACE.test(code)) return new AppError('disk_full', 'There is no space left on the disk.', options);
  if (NOT_WRITABLE.test(code)) return new AppError('storage_unavailable', 'The disk could not be written.', options);
  return undefined;
}
