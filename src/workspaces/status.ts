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

/** Changed files whose content is read for a look at the work. */
const MAX_COMPARED_FILES = 5000;
/** Files in an answer. */
const MAX_SHOWN_FILES = 3000;

export type WorkspaceStatus = {
  head: string;
  /** Newest commit of the base branch as last seen on the remote. */
  base: string;
  /** Commits of the branch that the base does not have, without the merges that brought the base in. */
  ahead: number;
  /** Whether the workspace holds work that is not committed, files in the folder of a submodule included. */
  dirty: boolean;
  /** Whether such commits are not pushed. */
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
 * The ticket's work against the commit it started from: what is committed and what is not, as a person who reviews it
 * wants to see both. Files that a commit would refuse are left out, as is what is too much; `omitted_files` counts both.
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
    const work = ticket.parked ? await parkedWork(tools, ticket) : await presentWork(worktree);
    const { files, ...compared } = await diffTrees(git, worktree.indexed, base, work.tree);
    const shown = files.slice(0, MAX_SHOWN_FILES);
    const omitted_files = work.omitted + files.length - shown.length;
    return { base, head, ...compared, files: shown, omitted_files };
  });
}

/** Lines of attributes that are new on the branch, and by which changes may be hidden from review. */
export async function hidingAttributesOf(git: Git, ticket: OpenTicket): Promise<string[]> {
  const head = await headOf(git, ticket);
  return hidingAttributes(git, ticket.gitDir, await startOf(git, ticket, head), head);
}

/** The commit of the base branch that the ticket's work starts from. */
async function startOf(git: Git, ticket: OpenTicket, head: string): Promise<string> {
  const query = git.query(ticket.gitDir);
  const newest = (await query.commit(ticket.baseRef)) ?? head;
  return (await query.mergeBase(head, newest)) ?? newest;
}

/** The tree a commit would have now, and how many changed files are not in it. */
async function presentWork(worktree: Worktree): Promise<{ tree: string; omitted: number }> {
  const { written, deleted, nested, tooLarge } = await listChanges(worktree);
  const { tree } = await writeTree(worktree, { written: written.slice(0, MAX_COMPARED_FILES), deleted });
  return { tree, omitted: nested.length + tooLarge.length + Math.max(0, written.length - MAX_COMPARED_FILES) };
}

/** That of a parked workspace lies in its git directory. */
async function parkedWork({ git }: TreeTools, ticket: OpenTicket): Promise<{ tree: string; omitted: number }> {
  const query = git.query(ticket.gitDir);
  return { tree: await query.tree((await query.commit(WORK_REF)) ?? (await headOf(git, ticket))), omitted: 0 };
}

/** Whether the workspace holds something that no commit has, in the folder of a submodule included. */
async function isDirty(tools: TreeTools, ticket: OpenTicket, signal: AbortSignal | undefined): Promise<boolean> {
  const committed = await tools.git.query(ticket.gitDir).tree(await headOf(tools.git, ticket));
  if (ticket.parked) return (await parkedWork(tools, ticket)).tree !== committed;
  await checkWorkspace(ticket);
  return withWorktree(tools, ticket, signal, async (worktree) => {
    const changes = await listChanges(worktree);
    const { written, nested, tooLarge } = changes;
    if (nested.length + tooLarge.length > 0 || written.length > MAX_COMPARED_FILES) return true;
    // No tree shows these.
    if ((await touchedSubmodules(worktree)).length > 0) return true;
    return (await writeTree(worktree, changes)).tree !== committed;
  });
}

/**
 * Commits of the branch, merges left out, oldest first.
 * @param since those after this commit; after the base when left out
 */
export async function commitsOf(git: Git, ticket: OpenTicket, since: string | undefined): Promise<CommitLine[]> {
  const query = git.query(ticket.gitDir);
  const head = await headOf(git, ticket);
  const start = since ?? (await query.commit(ticket.baseRef)) ?? head;
  return query.commits(head, start);
}
