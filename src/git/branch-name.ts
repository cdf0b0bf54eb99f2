import { AppError } from '../errors/app-error.ts';

/** The branch that carries a ticket's work. */
export function ticketBranch(ticketId: string): string {
  return `ticket_${ticketId}`;
}

/** 255 bytes, the longest name GitHub and most file systems take, less `refs/heads/`. */
const MAX_BYTES = 244;

/** Each rule of https://git-scm.com/docs/git-check-ref-format, and those of `--branch`. */
const FORBIDDEN: readonly [RegExp, string][] = [
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this rule is about
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
 * Checks a client's base branch before git sees it.
 * @returns the name itself
 * @throws AppError `invalid_request` saying which rule it breaks
 */
export function validateBranchName(name: string): string {
  const broken = FORBIDDEN.find(([pattern]) => pattern.test(name));
  if (broken) throw invalid(`holds ${broken[1]}`);
  if (name === '' || name === '@' || name === 'HEAD') throw invalid('is not the name of a branch');
  if (Buffer.byteLength(name) > MAX_BYTES) throw invalid(`is longer than ${MAX_BYTES} bytes`);
  return name;
}

function invalid(reason: string): AppError {
  return new AppError('invalid_request', `The base branch ${reason}.`, {
    errors: [{ path: '/base_branch', message: `the name ${reason}` }],
  });
}
