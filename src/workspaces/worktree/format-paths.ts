const MAX_ABBREVIATED_CHARS = 80;

/** Formats a path for a person. Names are foreign text, so control characters are replaced: they could steer a terminal. */
export function printable(path: string | Buffer): string {
  return path.toString().replace(/\p{C}/gu, '\ufffd');
}

/** Formats a path without its middle when it is long. */
export function abbreviate(path: string | Buffer): string {
  const text = printable(path);
  return text.length <= MAX_ABBREVIATED_CHARS
    ? text
    : `${text.slice(0, MAX_ABBREVIATED_CHARS / 2)}...${text.slice(-MAX_ABBREVIATED_CHARS / 4)}`;
}

/**
 * Formats paths as `a, b and 3 more`.
 * @param count number of all paths, when `paths` has the first only
 */
export function listPaths(paths: readonly (string | Buffer)[], most: number, count = paths.length): string {
  const names = paths.slice(0, most).map(printable).join(', ');
  return count > most ? `${names} and ${count - most} more` : names;
}
