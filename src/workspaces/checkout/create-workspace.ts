import { randomUUID } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AppError } from '../../errors/app-error.ts';
import { hasCode } from '../../files/errors.ts';
import type { GitOptions } from '../../git/git.ts';
import { makeOwnedFolder } from '../../trees/owned-folder.ts';
import type { WorkspaceContext } from '../context.ts';
import { unpark } from '../maintenance/parking.ts';
import { findTicket, noBranch, type OpenTicket } from '../open-ticket.ts';
import { refuseWithoutRoom } from '../scan/tree-limits.ts';
import type { TreeScan } from '../scan/tree-scan.ts';
import { recordSync } from '../sync/sync.ts';
import { listPaths } from '../worktree/format-paths.ts';
import { writeGitFile } from '../worktree/git-file.ts';
import { publishIndex } from '../worktree/scratch-results.ts';
import { withWorktree } from '../worktree/snapshot.ts';
import type { NewGitDir } from './git-dir.ts';
import { type CheckoutPlan, notAWorkspace, type Prepared } from './prepare.ts';
import { moveInto, type SpareCheckout } from './spare-checkouts.ts';

export type Created = {
  /** False when the workspace existed. */
  created: boolean;
  branch: string;
  baseBranch: string;
  /** Newest commits of the base branch and of the ticket's branch. */
  base: string;
  head: string;
  /** For a person: limits of the server with this repository. */
  notes: string[];
};

export type MaterializeOptions = Pick<GitOptions, 'signal' | 'onProgress'> & {
  /** An empty folder in the staging folder of TICKETS_ROOT that becomes the workspace, such as that of a spare agent. */
  folder?: string | undefined;
};

/**
 * Writes the files of a prepared workspace, or restores the files of a parked workspace.
 * @throws AppError `ticket_repo_mismatch`, `ticket_not_found`, `disk_full`, `workspace_tampered`; the errors of TreeScans
 */
export async function materializeWorkspace(
  context: WorkspaceContext,
  prepared: Prepared,
  options: MaterializeOptions,
): Promise<Created> {
  const { ticketId, plan } = prepared;
  const existing = await findTicket(context.git, context.layout, ticketId);
  if (existing !== undefined) {
    const described = await describeExisting(context, existing, prepared);
    if (existing.parked) await unpark(context, existing, options);
    return described;
  }
  if (plan === undefined) throw new AppError('ticket_not_found', `The workspace of ticket ${ticketId} was removed.`);
  return createWorkspace(context, prepared, plan, options);
}

async function describeExisting({ git }: WorkspaceContext, ticket: OpenTicket, request: Prepared): Promise<Created> {
  if (ticket.repoUrl.toLowerCase() !== request.repo.url.toLowerCase()) {
    throw new AppError('ticket_repo_mismatch', `Ticket ${ticket.ticketId} belongs to ${ticket.repoUrl}.`);
  }
  const { branch, baseBranch } = ticket;
  const refs = await git.query(ticket.gitDir).refs('refs/');
  const head = refs.get(ticket.ref);
  if (head === undefined) throw noBranch(branch);
  const keepsBase = request.baseBranch !== undefined && request.baseBranch !== baseBranch;
  const notes = keepsBase ? [`The ticket keeps its base branch ${baseBranch}.`] : [];
  return { created: false, branch, baseBranch, base: refs.get(ticket.baseRef) ?? head, head, notes };
}

/**
 * Creates the files and the git directory in staging folders and publishes both by renames, the workspace last. So a
 * workspace that exists is complete, even after the server was killed.
 */
async function createWorkspace(
  context: WorkspaceContext,
  request: Prepared,
  plan: CheckoutPlan,
  options: MaterializeOptions,
): Promise<Created> {
  const { layout, mirrors, uncompressedPacks, spareCheckouts, syncCache, logger } = context;
  const { ticketId } = request;
  const { mirror, branch, baseBranch, base, head, remoteHead, scan, heads } = plan;
  const protection = mirrors.protect(mirror, ticketId, [base, head]);
  // `stage` awaits it, unless it fails before. Either way no git runs on the refs of the ticket afterwards.
  protection.catch(() => {});
  await spareCheckouts
    .withSpare(mirror, (spare) => stage(context, { request, plan, spare, protection }, options))
    .finally(() => protection.catch(() => {}));

  uncompressedPacks.renew(mirror, base, scan.files);
  const notes = notesOn(scan);
  if (remoteHead === undefined) {
    // The base was scanned, so the disk can hold a spare checkout of it.
    spareCheckouts.renew(mirror, base, scan.files, () => uncompressedPacks.newestFor(mirror));
    const refs = { ticketId, gitDir: layout.ticket(ticketId).gitDir, ref: `refs/heads/${branch}` };
    recordSync(syncCache, refs, heads, { head, base });
  } else {
    notes.push(`The branch ${branch} exists on the remote; the ticket continues from it.`);
  }
  logger?.info({ ticket_id: ticketId, repo: request.repo.url, head }, 'workspace created');
  return { created: true, branch, baseBranch, base, head, notes };
}

async function stage(
  context: WorkspaceContext,
  checkout: {
    request: Prepared;
    plan: CheckoutPlan;
    spare: SpareCheckout | undefined;
    protection: Promise<void>;
  },
  options: MaterializeOptions,
): Promise<void> {
  const { git, tools, layout, trash, uncompressedPacks, createGitDir } = context;
  const { request, plan, spare, protection } = checkout;
  const { mirror, head } = plan;
  const { programs, identities } = tools;
  const { workspace, gitDir } = layout.ticket(request.ticketId);
  const stagedGitDir = join(layout.data.staging, randomUUID());
  const folder = options.folder ?? spare?.folder;
  const staged = folder ?? join(layout.tickets.staging, randomUUID());
  try {
    if (!spare) await refuseWithoutRoom(plan.scan, layout.tickets.root);
    const [alternateObjects] = await Promise.all([
      uncompressedPacks.objectsFor(mirror),
      folder === undefined ? makeOwnedFolder(identities, staged) : undefined,
      createGitDir(stagedGitDir, gitDirOf(request, plan)),
    ]);
    if (spare) await moveInto(spare, staged, stagedGitDir);
    const newOwner = spare !== undefined && staged !== spare.folder && identities.of(staged) !== undefined;
    if (newOwner) await programs.unifyOwner(staged);
    if (newOwner || spare?.commit !== head) {
      const trees = spare ? [spare.commit, head] : [head];
      await withWorktree(tools, { workspace: staged, gitDir: stagedGitDir, mirror }, options.signal, async (tree) => {
        // A rename changes the ctime, so git would treat the files as changed and refuse.
        if (spare) await git.run(['update-index', '-q', '--refresh', '--ignore-submodules'], tree.reading);
        const where = { ...tree.writing, alternateObjects, onProgress: options.onProgress };
        if (spare?.commit !== head) await git.run(['read-tree', '-m', '-u', '-v', ...trees], where);
        await publishIndex(tree);
      });
    }
    await writeGitFile(staged, gitDir);
    await protection;
    await publish(context, { stagedGitDir, gitDir, staged, workspace });
  } catch (error) {
    await trash.add(staged, layout.tickets.trash);
    await trash.add(stagedGitDir, layout.data.trash);
    throw error;
  }
}

function gitDirOf({ ticketId, repo }: Prepared, plan: CheckoutPlan): NewGitDir {
  const { mirror, branch, baseBranch, base, head, remoteHead } = plan;
  const refs = {
    [`refs/heads/${branch}`]: head,
    [`refs/remotes/origin/${baseBranch}`]: base,
    ...(remoteHead === undefined ? {} : { [`refs/remotes/origin/${branch}`]: remoteHead }),
  };
  return { branch, refs, mirror, record: { ticket_id: ticketId, repo_url: repo.url, base_branch: baseBranch } };
}

async function publish(
  { layout, trash }: WorkspaceContext,
  paths: { stagedGitDir: string; gitDir: string; staged: string; workspace: string },
): Promise<void> {
  // The leftover of a killed creation, if any.
  await trash.add(paths.gitDir, layout.data.trash);
  await rename(paths.stagedGitDir, paths.gitDir);
  try {
    await rename(paths.staged, paths.workspace);
  } catch (error) {
    await trash.add(paths.gitDir, layout.data.trash);
    const isOccupied = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].some((code) => hasCode(error, code));
    throw isOccupied ? notAWorkspace(basename(paths.workspace), error) : error;
  }
}

function notesOn({ submodules, usesLfs }: TreeScan): string[] {
  const notes: string[] = [];
  const { paths, count } = submodules;
  if (count > 0) {
    notes.push(`Submodules are not followed; their folders are empty: ${listPaths(paths, paths.length, count)}.`);
  }
  if (usesLfs) notes.push('The repository uses Git LFS; its large files are pointers here.');
  return notes;
}
