/**
 * Finds names that are equal on a file system that ignores case and Unicode normalization.
 * @returns a function to call with each path of a tree, a folder before its entries. It returns the earlier path of the same
 *   folder that clashes, if any
 */
export function createClashFinder(): (path: string) => string | undefined {
  /** The parent folders of the last path, each with its names as the file system compares them. */
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
