/** A path as text for a person: names come from repositories and agents, so nothing in them may steer a terminal. */
export function shown(path: string | Buffer): string {
  return path.toString().replace(/\p{C}/gu, '\ufffd');
}

/** `a, b and 3 more`. */
export function list(paths: readonly (string | Buffer)[], most: number): string {
  const names = paths.slice(0, most).map(shown).join(', ');
  return paths.length > most ? `${names} and ${paths.length - most} more` : names;
}
