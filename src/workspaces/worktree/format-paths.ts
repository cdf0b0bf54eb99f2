const MAX_SHORTENED = 80;

/** A path as text for a person: names come from repositories and agents, so nothing in them may steer a terminal. */
export function printable(path: string | Buffer): string {
  return path.toString().replace(/\p{C}/gu, '\ufffd');
}

/** A path that may be of any length, without its middle. */
export function abbreviate(path: string | Buffer): string {
  const text = printable(path);
  return text.length <= MAX_SHORTENED
    ? text
    : `${text.slice(0, MAX_SHORTENED / 2)}...${text.slice(-MAX_SHORTENED / 4)}`;
}

/** `a, b and 3 more`. @param count of all paths, where only the first are given */
export function listPaths(paths: readonly (string | Buffer)[], most: number, count = paths.length): string {
  const names = paths.slice(0, most).map(printable).join(', ');
  return count > most ? `${names} and ${count - most} more` : names;
}
