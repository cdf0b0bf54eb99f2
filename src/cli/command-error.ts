/** Exit codes, for scripts. */
export const EXIT = { failed: 1, usage: 2, canceled: 3, refused: 4, interrupted: 130 } as const;

/** The reason why a command failed, for the person who typed it. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: (typeof EXIT)[keyof typeof EXIT];

  constructor(message: string, exitCode: (typeof EXIT)[keyof typeof EXIT] = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}
