import type { Diff } from '../../schemas/ticket.ts';
import type { Git } from '../git/git.ts';
import type { CommitLine } from '../git/git-queries.ts';
import { headOf, type OpenTicket, WORK_REF } from './open-ticket.ts';
import type { TreeScans } from './scan/tree-scan.ts';
import { touchedSubmodules } from './worktree/checks.ts';
import { diffTrees } from './worktree/diff.ts';
import { hidingAttributes } from './worktree/hiding-attributes.ts';
import {
  checkWorkspace,
  listChanges,
  type TreeTools,
  type Worktree,
  withWorktree,
  writeTree,
} from './worktree/snapshot.ts';

/** Changed files that are read for a diff or a status. */
const MAX_COMPARED_FILES = 5000;
/** Files in a diff. */
const MAX_DIFF_FILES = 3000;

export type WorkspaceStatus = {
  head: string;
  /** Newest commit of the base branch at the last fetch. */
  base: string;
  /** Number of commits that the branch has and the base has not. Merges do not count. */
  ahead: number;
  /** Whether the workspace has uncommitted work, including files in the folder of a submodule. */
  dirty: boolean;
  /** Whether any of these commits is not pushed. */
  unpushed: boolean;
};

export async function statusOf(tools: TreeTools, ticket: OpenTicket, signal?: AbortSignal): Promise<WorkspaceStatus> {
  const { git } = tools;
  const query = git.query(ticket.gitDir);
  const head = await headOf(git, ticket);
  const base = (await query.commit(ticket.baseRef)) ?? head;
  const pushed = await query.commit(ticket.pushedRef);
  return {
    head,
    base,
    ahead: await query.count(head, [base]),
    dirty: await isDirty(tools, ticket, signal),
    unpushed: (await query.count(head, pushed === undefined ? [base] : [base, pushed])) > 0,
  };
}

/**
 * Compares the ticket's work, committed or not, with the commit that it started from. `omitted_files` counts the files that a
 * commit would refuse, and those above the limits.
 */
export async function diffOf(
  tools: TreeTools,
  scans: TreeScans,
  ticket: OpenTicket,
  signal?: AbortSignal,
): Promise<Diff> {
  const { git } = tools;
  const head = await headOf(git, ticket);
  const base = await startOf(git, ticket, head);
  await scans.checkSize(ticket.gitDir, base);
  if (!ticket.parked) await checkWorkspace(ticket);
  return withWorktree(tools, ticket, signal, async (worktree) => {
    const current = ticket.parked ? await parkedTree(tools, ticket) : await currentTree(worktree);
    const { files, ...compared } = await diffTrees(git, worktree.indexed, base, current.tree);
    const listed = files.slice(0, MAX_DIFF_FILES);
    const omitted_files = current.omitted + files.length - listed.length;
    return { base, head, ...compared, files: listed, omitted_files };
  });
}

/** Lists attributes that the branch adds and that may hide changes from review. */
export async function hidingAttributesOf(git: Git, ticket: OpenTicket): Promise<string[]> {
  const head = await headOf(git, ticket);
  return hidingAttributes(git, ticket.gitDir, await startOf(git, ticket, head), head);
}

/** Returns the commit of the base branch that the ticket's work starts from. */
async function startOf(git: Git, ticket: OpenTicket, head: string): Promise<string> {
  const query = git.query(ticket.gitDir);
  const newest = (await query.commit(ticket.baseRef)) ?? head;
  return (await query.mergeBase(head, newest)) ?? newest;
}

/** Returns the tree that a commit would have now, and the number of changed files that it omits. */
async function currentTree(worktree: Worktree): Promise<{ tree: string; omitted: number }> {
  const { written, deleted, nested, tooLarge } = await listChanges(worktree);
  const { tree } = await writeTree(worktree, { written: written.slice(0, MAX_COMPARED_FILES), deleted });
  return { tree, omitted: nested.length + tooLarge.length + Math.max(0, written.length - MAX_COMPARED_FILES) };
}

/** Returns the same of a parked workspace. */
async function parkedTree({ git }: TreeTools, ticket: OpenTicket): Promise<{ tree: string; omitted: number }> {
  const query = git.query(ticket.gitDir);
  return { tree: await query.tree((await query.commit(WORK_REF)) ?? (await headOf(git, ticket))), omitted: 0 };
}

async function isDirty(tools: TreeTools, ticket: OpenTicket, signal: AbortSignal | undefined): Promise<boolean> {
  const committed = await tools.git.query(ticket.gitDir).tree(await headOf(tools.git, ticket));
  if (ticket.parked) return (await parkedTree(tools, ticket)).tree !== committed;
  await checkWorkspace(ticket);
  return withWorktree(tools, ticket, signal, async (worktree) => {
    const changes = await listChanges(worktree);
    const { written, nested, tooLarge } = changes;
    if (nested.length + tooLarge.length > 0 || written.length > MAX_COMPARED_FILES) return true;
    // A tree does not contain these files.
    if ((await touchedSubmodules(worktree)).length > 0) return true;
    return (await writeTree(worktree, changes)).tree !== committed;
  });
}

/**
 * Lists the commits of the branch without merges, oldest first.
 * @param since a commit to start after; the base without it
 */
export async function commitsOf(git: Git, ticket: OpenTicket, since: string | undefined): Promise<CommitLine[]> {
  const query = git.query(ticket.gitDir);
  const head = await headOf(git, ticket);
  const start = since ?? (await query.commit(ticket.baseRef)) ?? head;
  return query.commits(head, start);
}
