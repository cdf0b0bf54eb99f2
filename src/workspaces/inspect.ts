import { join } from 'node:path';
import type { Diff } from '../../schemas/ticket.ts';
import type { Git } from '../git/git.ts';
import type { CommitLine } from '../git/git-questions.ts';
import { touchedSubmodules } from './commit.ts';
import { diffTrees } from './diff.ts';
import { type OpenTicket, WORK_REF } from './open-ticket.ts';
import { checkWorkspace, withWorkingTree } from './snapshot.ts';
import { headOf } from './sync.ts';
import type { TreeScans } from './tree-scan.ts';

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

export async function statusOf(git: Git, staging: string, ticket: OpenTicket): Promise<WorkspaceStatus> {
  const ask = git.ask(ticket.gitDir);
  const head = await headOf(git, ticket);
  const base = (await ask.commit(ticket.baseRef)) ?? head;
  const pushed = await ask.commit(ticket.pushedRef);
  const committed = await ask.tree(head);
  return {
    head,
    base,
    ahead: await ask.count(head, [base]),
    dirty:
      (await withWork(git, ticket, staging, async ({ tree, complete }) => tree !== committed || !complete)) ||
      // No tree shows these.
      (!ticket.parked && (await touchedSubmodules(git, ticket, join(ticket.gitDir, 'index'))).length > 0),
    unpushed: (await ask.count(head, pushed === undefined ? [base] : [base, pushed])) > 0,
  };
}

/**
 * The ticket's work against the commit it started from: what is committed and what is not, as a person who reviews it
 * wants to see both. Files that a commit would refuse are left out.
 */
export async function diffOf(git: Git, scans: TreeScans, staging: string, ticket: OpenTicket): Promise<Diff> {
  const ask = git.ask(ticket.gitDir);
  const head = await headOf(git, ticket);
  const newestBase = (await ask.commit(ticket.baseRef)) ?? head;
  const base = (await ask.mergeBase(head, newestBase)) ?? newestBase;
  await scans.checkSize(ticket.gitDir, base);
  const compared = await withWork(git, ticket, staging, ({ tree, objects }) =>
    diffTrees(git, { gitDir: ticket.gitDir, objects }, base, tree),
  );
  return { base, head, ...compared };
}

/** The tree a commit would have now; that of a parked workspace lies in its git directory. */
async function withWork<T>(
  git: Git,
  ticket: OpenTicket,
  staging: string,
  use: (view: { tree: string; objects: string; complete: boolean }) => Promise<T>,
): Promise<T> {
  if (!ticket.parked) {
    await checkWorkspace(ticket);
    return withWorkingTree(git, ticket, staging, use);
  }
  const ask = git.ask(ticket.gitDir);
  const tree = await ask.tree((await ask.commit(WORK_REF)) ?? (await headOf(git, ticket)));
  return use({ tree, objects: join(ticket.gitDir, 'objects'), complete: true });
}

/**
 * Commits of the branch, merges left out, oldest first.
 * @param since those after this commit; after the base when left out
 */
export async function commitsOf(git: Git, ticket: OpenTicket, since: string | undefined): Promise<CommitLine[]> {
  const ask = git.ask(ticket.gitDir);
  const head = await headOf(git, ticket);
  const start = since ?? (await ask.commit(ticket.baseRef)) ?? head;
  return ask.commits(head, start);
}
