import { randomUUID } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { abortable } from '../../concurrency/abortable.ts';
import { AppError } from '../../errors/app-error.ts';
import { hasCode } from '../../files/errors.ts';
import type { Layout } from '../../files/layout.ts';
import type { GitProgress } from '../../git/progress.ts';
import type { RepoRef } from '../../git/repo-url.ts';
import type { PlainPacks } from '../../mirrors/uncompressed-packs.ts';
import { makeOwnedFolder } from '../../trees/owned-folder.ts';
import type { Trash } from '../../trees/trash.ts';
import { refuseWithoutRoom } from '../scan/tree-limits.ts';
import type { TreeScan, TreeScans } from '../scan/tree-scan.ts';
import { list } from '../worktree/format-paths.ts';
import { writeGitFile } from '../worktree/git-file.ts';
import { publishIndex } from '../worktree/scratch-results.ts';
import { type TreeTools, withWorktree } from '../worktree/snapshot.ts';
import type { NewGitDir } from './git-dir.ts';
import { moveInto, type SpareCheckout, type SpareCheckouts } from './spare-checkouts.ts';

export type NewWorkspace = {
  ticketId: string;
  repo: RepoRef;
  branch: string;
  baseBranch: string;
  /** Newest commit of the base branch; it and `remoteHead` are in the mirror. */
  base: string;
  /** Newest commit of the ticket's branch on the remote, if it is there: the ticket goes on from it. */
  remoteHead: string | undefined;
  /** Fulfilled when the mirror keeps these commits for the ticket. */
  isKept: Promise<void>;
  place: (() => string | undefined) | undefined;
};

export type CheckoutOptions = {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: GitProgress) => void) | undefined;
};

export type BuildDeps = {
  tools: TreeTools;
  layout: Layout;
  trash: Trash;
  plainPacks: PlainPacks;
  spareCheckouts: SpareCheckouts;
  scans: TreeScans;
  makeGitDir: (gitDir: string, wanted: NewGitDir) => Promise<void>;
};

/**
 * Builds a workspace aside and publishes it by two renames, the workspace last: a workspace that exists is complete,
 * whenever the server is killed.
 * @returns notes for a person on what this server does not do with the repository
 * @throws AppError `disk_full`; those of TreeScans, with no file written
 */
export async function buildWorkspace(
  deps: BuildDeps,
  wanted: NewWorkspace,
  options: CheckoutOptions,
): Promise<string[]> {
  const { layout, plainPacks, spareCheckouts } = deps;
  const mirror = layout.mirror(wanted.repo.url);
  const scan = await spareCheckouts.with(mirror, (spare) => build(deps, wanted, mirror, spare, options));
  plainPacks.renew(mirror, wanted.base, scan.files);
  // Only a tree that was scanned: another one may hold what this disk cannot.
  if (wanted.remoteHead === undefined) {
    spareCheckouts.renew(mirror, wanted.base, scan.files, () => plainPacks.newestFor(mirror));
  }
  return notesOn(scan);
}

async function build(
  deps: BuildDeps,
  wanted: NewWorkspace,
  mirror: string,
  spare: SpareCheckout | undefined,
  options: CheckoutOptions,
): Promise<TreeScan> {
  const { tools, layout, trash, plainPacks } = deps;
  const { git, programs, identities } = tools;
  const { workspace, gitDir } = layout.ticket(wanted.ticketId);
  const stagedGitDir = join(layout.data.staging, randomUUID());
  const place = wanted.place?.() ?? spare?.folder;
  const staged = place ?? join(layout.tickets.staging, randomUUID());
  const head = wanted.remoteHead ?? wanted.base;
  const scanning = deps.scans.check(mirror, head);
  // Awaited below, when its turn has come.
  scanning.catch(() => {});
  try {
    const [alsoObjects] = await Promise.all([
      plainPacks.objectsFor(mirror),
      place === undefined ? makeOwnedFolder(identities, staged) : undefined,
      deps.makeGitDir(stagedGitDir, gitDirOf(wanted, mirror)),
    ]);
    const scan = await abortable(scanning, options.signal);
    if (!spare) await refuseWithoutRoom(scan, layout.tickets.root);
    if (spare) await moveInto(spare, staged, stagedGitDir);
    const newOwner = spare !== undefined && staged !== spare.folder && identities.of(staged) !== undefined;
    if (newOwner) await programs.unifyOwner(staged);
    if (newOwner || spare?.commit !== head) {
      const trees = spare ? [spare.commit, head] : [head];
      await withWorktree(tools, { workspace: staged, gitDir: stagedGitDir, mirror }, options.signal, async (tree) => {
        // What was renamed has another time of change: git would take it for changed by somebody, and refuse.
        if (spare) await git.run(['update-index', '-q', '--refresh', '--ignore-submodules'], tree.reading);
        const where = { ...tree.writing, alsoObjects, onProgress: options.onProgress };
        if (spare?.commit !== head) await git.run(['read-tree', '-m', '-u', '-v', ...trees], where);
        await publishIndex(tree);
      });
    }
    await writeGitFile(staged, gitDir);
    await wanted.isKept;
    await publish(deps, { stagedGitDir, gitDir, staged, workspace });
    return scan;
  } catch (error) {
    await trash.add(staged, layout.tickets.trash);
    await trash.add(stagedGitDir, layout.data.trash);
    throw error;
  }
}

function gitDirOf({ ticketId, repo, branch, baseBranch, base, remoteHead }: NewWorkspace, mirror: string): NewGitDir {
  const refs = {
    [`refs/heads/${branch}`]: remoteHead ?? base,
    [`refs/remotes/origin/${baseBranch}`]: base,
    ...(remoteHead === undefined ? {} : { [`refs/remotes/origin/${branch}`]: remoteHead }),
  };
  return { branch, refs, mirror, record: { ticket_id: ticketId, repo_url: repo.url, base_branch: baseBranch } };
}

async function publish(
  { layout, trash }: { layout: Layout; trash: Trash },
  paths: { stagedGitDir: string; gitDir: string; staged: string; workspace: string },
): Promise<void> {
  // What a killed creation left: with neither a workspace nor work it is nothing.
  await trash.add(paths.gitDir, layout.data.trash);
  await rename(paths.stagedGitDir, paths.gitDir);
  try {
    await rename(paths.staged, paths.workspace);
  } catch (error) {
    await trash.add(paths.gitDir, layout.data.trash);
    if (!hasCode(error, 'ENOTEMPTY') && !hasCode(error, 'EEXIST') && !hasCode(error, 'ENOTDIR')) throw error;
    throw new AppError(
      'workspace_tampered',
      `${basename(paths.workspace)} in TICKETS_ROOT is not a workspace of this server.`,
      {
        cause: error,
        remedy: 'Move it away, or use another ticket id.',
      },
    );
  }
}

function notesOn({ submodules, usesLfs }: TreeScan): string[] {
  const notes: string[] = [];
  const { paths, count } = submodules;
  if (count > 0) {
    notes.push(`Submodules are not followed; their folders are empty: ${list(paths, paths.length, count)}.`);
  }
  if (usesLfs) notes.push('The repository uses Git LFS; its large files are pointers here.');
  return notes;
}
