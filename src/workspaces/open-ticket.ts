import { AppError } from '../errors/app-error.ts';
import { exists } from '../files/entries.ts';
import type { Layout } from '../files/layout.ts';
import { ticketBranch } from '../git/branch-name.ts';
import type { Git } from '../git/git.ts';
import { readRecord } from './ticket-record.ts';

/** A ticket that exists: where it is, and the names of what git knows of it. */
export type OpenTicket = {
  ticketId: string;
  workspace: string;
  gitDir: string;
  mirror: string;
  repoUrl: string;
  /** Short names. */
  branch: string;
  baseBranch: string;
  /** The ticket's branch; that branch and the base as last seen on the remote. Full names. */
  ref: string;
  pushedRef: string;
  baseRef: string;
  /** Whether only the git directory is there, and the files are to be checked out again; whoever removed them. */
  parked: boolean;
};

/** In a parked ticket that came from a backup: a commit of all that its workspace held, committed or not. */
export const WORK_REF = 'refs/pullwright/work';

/** What a git directory says of its ticket, wherever its files are; undefined when there is none of this very name. */
export function readTicket(layout: Layout, ticketId: string) {
  const { workspace, gitDir } = layout.ticket(ticketId);
  const record = readRecord(gitDir);
  // A file system that ignores case shows the files of another ticket.
  if (record?.ticket_id !== ticketId) return undefined;
  const branch = ticketBranch(ticketId);
  return {
    ticketId,
    workspace,
    gitDir,
    mirror: layout.mirror(record.repo_url),
    repoUrl: record.repo_url,
    branch,
    baseBranch: record.base_branch,
    ref: `refs/heads/${branch}`,
    pushedRef: `refs/remotes/origin/${branch}`,
    baseRef: `refs/remotes/origin/${record.base_branch}`,
    parkedAt: record.parked_at,
  };
}

/**
 * The ticket, or undefined when there is none of this very name. A git directory without a workspace is the rest of a
 * creation that was cut short, unless it says that it is parked, or holds work: then somebody has removed the files.
 */
export async function findTicket(git: Git, layout: Layout, ticketId: string): Promise<OpenTicket | undefined> {
  const found = readTicket(layout, ticketId);
  if (found === undefined) return undefined;
  const { parkedAt, ...ticket } = found;
  const parked = !(await exists(ticket.workspace));
  if (parked && parkedAt === undefined && !(await holdsWork(git, ticket.gitDir))) return undefined;
  return { ...ticket, parked };
}

/** Whether it has commits that the remote was not seen to have: on a branch, kept as a checkpoint, or on none. */
async function holdsWork(git: Git, gitDir: string): Promise<boolean> {
  const { stdout } = await git.run(['rev-list', '--max-count=1', '--all', '--not', '--remotes'], { gitDir });
  return stdout.length > 0;
}

/** @throws AppError `ticket_not_found` */
export async function openTicket(git: Git, layout: Layout, ticketId: string): Promise<OpenTicket> {
  const ticket = await findTicket(git, layout, ticketId);
  if (!ticket) throw new AppError('ticket_not_found', `There is no workspace of a ticket ${ticketId}.`);
  return ticket;
}

/** @throws AppError `workspace_tampered` */
export async function headOf(git: Git, { gitDir, branch, ref }: OpenTicket): Promise<string> {
  const head = await git.query(gitDir).commit(ref);
  if (head === undefined) throw noBranch(branch);
  return head;
}

export function noBranch(branch: string): AppError {
  return new AppError('workspace_tampered', `The branch ${branch} is gone.`);
}
