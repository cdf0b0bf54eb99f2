/**
 * Finds names that are one to a file system that ignores case and the form of Unicode.
 * @returns a function to call with each path of a tree, a folder before the paths in it; it returns the earlier path of the same
 *   folder that this path clashes with
 */
export function createClashFinder(): (path: string) => string | undefined {
  /** The folders above the last path, each with the names in it as the file system compares them. */
  const open: { folder: string; names: Map<string, string> }[] = [{ folder: '', names: new Map() }];

  return (path) => {
    const folder = path.slice(0, path.lastIndexOf('/') + 1);
    while (!folder.startsWith(open.at(-1)?.folder ?? '')) open.pop();
    if (open.at(-1)?.folder !== folder) open.push({ folder, names: new Map() });
    const names = open.at(-1)?.names;
    const key = path.normalize('NFC').toLowerCase();
    const other = names?.get(key);
    if (other === undefined) names?.set(key, path);
    return other === path ? undefined : other;
  };
}
