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
  return new AppError('internal', 'An unexpected error happened.', { cause: error });
}
