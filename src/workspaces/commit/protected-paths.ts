import { foldedNames } from '../../config/protected-paths.ts';
import type { Changes } from '../worktree/snapshot.ts';

/**
 * Removes changes of protected paths: of the path itself, of paths below it, and of its parents, such as a link instead of a
 * parent folder. A rename counts as a deletion and an addition.
 * @param protectedPaths files or folders, relative to the root of the repository, with or without a slash at the end. The
 *   settings ensure that none is empty
 * @returns the other changes, and the removed paths as text
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
  const isAllowed = (path: Buffer) => !isProtected(path);
  return {
    changes: {
      ...changes,
      written: changes.written.filter(isAllowed),
      deleted: changes.deleted.filter(isAllowed),
      tooLarge: changes.tooLarge.filter(({ path }) => isAllowed(path)),
    },
    heldBack: [...heldBack].sort(),
  };
}

/** Returns whether a name is the protected name, or may be its short name on NTFS, such as `GITHUB~1` of `.github`. */
function isSameName(name: string, other: string | undefined): boolean {
  if (other === name) return true;
  const short = /^(.{1,6})~\d+$/.exec(other ?? '')?.[1];
  return short !== undefined && name.replace(/[. ]/g, '').startsWith(short);
}
