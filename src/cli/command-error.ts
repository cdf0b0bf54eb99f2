/** How a command ended, for those who call it from a script. */
export const EXIT = { failed: 1, usage: 2, canceled: 3, refused: 4, interrupted: 130 } as const;

/** What keeps a command from being carried out, in words for the person who typed it. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: (typeof EXIT)[keyof typeof EXIT];

  constructor(message: string, exitCode: (typeof EXIT)[keyof typeof EXIT] = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}
