import { foldedNames } from '../../config/protected-paths.ts';
import type { Changes } from '../worktree/snapshot.ts';

/**
 * Takes out of the changes those that a protected path keeps from being committed: what lies at it or below, and what
 * is in its way, such as a link in place of the folder that it is in. A rename out of a protected path, or into one, is
 * a deletion and an addition here.
 * @param protectedPaths of files or folders, from the top of the repository, with or without a slash at the end; each
 *   has a name, which the settings see to
 * @returns the changes that are left, and the paths that were taken out, as text
 */
export function withoutProtected(
  changes: Changes,
  protectedPaths: readonly string[],
): { changes: Changes; heldBack: string[] } {
  const rules = protectedPaths.map(foldedNames);
  const isProtected = (path: Buffer) => {
    const parts = foldedNames(path.toString());
    return rules.some((rule) => rule.every((name, depth) => depth >= parts.length || isSameName(name, parts[depth])));
  };
  const paths = [...changes.written, ...changes.deleted, ...changes.tooLarge.map(({ path }) => path)];
  const heldBack = new Set(paths.filter(isProtected).map(String));
  const left = (path: Buffer) => !isProtected(path);
  return {
    changes: {
      ...changes,
      written: changes.written.filter(left),
      deleted: changes.deleted.filter(left),
      tooLarge: changes.tooLarge.filter(({ path }) => left(path)),
    },
    heldBack: [...heldBack].sort(),
  };
}

/** Whether a name is the protected one, or may be its short name on NTFS, as `GITHUB~1` is of `.github`. */
function isSameName(name: string, other: string | undefined): boolean {
  if (other === name) return true;
  const short = /^(.{1,6})~\d+$/.exec(other ?? '')?.[1];
  return short !== undefined && name.replace(/[. ]/g, '').startsWith(short);
}
