import { AppError } from '../errors/app-error.ts';

/** Returns the name of a ticket's branch. */
export function ticketBranch(ticketId: string): string {
  return `ticket_${ticketId}`;
}

/** GitHub and most file systems accept 255 bytes; `refs/heads/` takes 11. */
const MAX_NAME_BYTES = 244;

/** The rules of https://git-scm.com/docs/git-check-ref-format, including those of `--branch`. */
const FORBIDDEN: readonly [RegExp, string][] = [
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the rule forbids control characters
  [/[\u0000-\u0020\u007f~^:?*[\\]/, 'a space, a control character or one of ~ ^ : ? * [ \\'],
  [/\.\./, 'two dots in a row'],
  [/@\{/, '"@{"'],
  [/^\/|\/$|\/\//, 'an empty part between slashes'],
  [/(^|\/)\./, 'a part that begins with a dot'],
  [/\.$/, 'a dot at the end'],
  [/\.lock(\/|$)/, 'a part that ends with .lock'],
  [/^-/, 'a dash at the beginning'],
  [/\p{Surrogate}/u, 'half a Unicode character'],
];

/**
 * Checks the name of a base branch that a client chose.
 * @returns the name
 * @throws AppError `invalid_request` with the broken rule
 */
export function validateBranchName(name: string): string {
  const broken = FORBIDDEN.find(([pattern]) => pattern.test(name));
  if (broken) throw invalid(`holds ${broken[1]}`);
  if (name === '' || name === '@' || name === 'HEAD') throw invalid('is not the name of a branch');
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw invalid(`is longer than ${MAX_NAME_BYTES} bytes`);
  return name;
}

function invalid(reason: string): AppError {
  return new AppError('invalid_request', `The base branch ${reason}.`, {
    errors: [{ path: '/base_branch', message: `the name ${reason}` }],
  });
}
