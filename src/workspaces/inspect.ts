import type { Diff } from '../../schemas/ticket.ts';
import type { Git } from '../git/git.ts';
import type { CommitLine } from '../git/git-questions.ts';
import { diffTrees } from './diff.ts';
import type { OpenTicket } from './open-ticket.ts';
import { checkWorkspace, withWorkingTree } from './snapshot.ts';
import { headOf } from './sync.ts';

export type WorkspaceStatus = {
  head: string;
  /** Newest commit of the base branch as last seen on the remote. */
  base: string;
  /** Commits of the branch that the base does not have, without the merges that brought the base in. */
  ahead: number;
  /** Whether the workspace holds work that is not committed. */
  dirty: boolean;
  /** Whether such commits are not pushed. */
  unpushed: boolean;
};

export async function statusOf(git: Git, staging: string, ticket: OpenTicket): Promise<WorkspaceStatus> {
  await checkWorkspace(ticket);
  const ask = git.ask(ticket.gitDir);
  const head = await headOf(git, ticket);
  const base = (await ask.commit(ticket.baseRef)) ?? head;
  const pushed = await ask.commit(ticket.pushedRef);
  const committed = await ask.tree(head);
  return {
    head,
    base,
    ahead: await ask.count(head, [base]),
    dirty: await withWorkingTree(git, ticket, staging, async ({ tree, complete }) => tree !== committed || !complete),
    unpushed: (await ask.count(head, pushed === undefined ? [base] : [base, pushed])) > 0,
  };
}

/**
 * The ticket's work against the commit it started from: what is committed and what is not, as a person who reviews it
 * wants to see both. Files that a commit would refuse are left out.
 */
export async function diffOf(git: Git, staging: string, ticket: OpenTicket): Promise<Diff> {
  await checkWorkspace(ticket);
  const ask = git.ask(ticket.gitDir);
  const head = await headOf(git, ticket);
  const newestBase = (await ask.commit(ticket.baseRef)) ?? head;
  const base = (await ask.mergeBase(head, newestBase)) ?? newestBase;
  const compared = await withWorkingTree(git, ticket, staging, ({ tree, objects }) =>
    diffTrees(git, { gitDir: ticket.gitDir, objects }, base, tree),
  );
  return { base, head, ...compared };
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
