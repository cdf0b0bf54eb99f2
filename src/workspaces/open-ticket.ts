import { AppError } from '../errors/app-error.ts';
import { exists } from '../files/entries.ts';
import type { Layout } from '../files/layout.ts';
import { ticketBranch } from '../git/branch-name.ts';
import type { Git } from '../git/git.ts';
import { readRecord } from './ticket-record.ts';

/** An existing ticket: its paths, and its names in git. */
export type OpenTicket = {
  ticketId: string;
  workspace: string;
  gitDir: string;
  mirror: string;
  repoUrl: string;
  /** Short names. */
  branch: string;
  baseBranch: string;
  /** Full names of the ticket's branch, and of its remote-tracking branch and that of the base. */
  ref: string;
  pushedRef: string;
  baseRef: string;
  /** Whether the git directory has no workspace: the server or a person removed the files. */
  parked: boolean;
};

/** In a ticket restored from a backup: a commit of its whole workspace, including uncommitted work. */
export const WORK_REF = 'refs/pullwright/work';

/** Reads a ticket from its git directory. Returns undefined without a ticket of exactly this id. */
export function readTicket(layout: Layout, ticketId: string) {
  const { workspace, gitDir } = layout.ticket(ticketId);
  const record = readRecord(gitDir);
  // On a file system that ignores case, it may be the record of another ticket.
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
 * Finds a ticket by its exact id. A git directory without a workspace is the leftover of a killed creation, unless its record
 * has `parked_at` or it has unpushed commits.
 */
export async function findTicket(git: Git, layout: Layout, ticketId: string): Promise<OpenTicket | undefined> {
  const found = readTicket(layout, ticketId);
  if (found === undefined) return undefined;
  const { parkedAt, ...ticket } = found;
  const parked = !(await exists(ticket.workspace));
  if (parked && parkedAt === undefined && !(await hasUnpushed(git, ticket.gitDir))) return undefined;
  return { ...ticket, parked };
}

/** Returns whether a branch, a checkpoint or a detached HEAD has commits that no remote-tracking branch has. */
async function hasUnpushed(git: Git, gitDir: string): Promise<boolean> {
  const { stdout } = await git.run(['rev-list', '--max-count=1', '--all', '--not', '--remotes'], { gitDir });
  return stdout.length > 0;
}

/** @throws AppError `ticket_not_found` */
export async function openTicket(git: Git, layout: Layout, ticketId: string): Promise<OpenTicket> {
  const ticket = await findTicket(git, layout, ticketId);
  if (!ticket) throw new AppError('ticket_not_found', `Ticket ${ticketId} has no workspace.`);
  return ticket;
}

/**
 * Returns the newest commit of the ticket's branch.
 * @throws AppError `workspace_tampered`
 */
export async function headOf(git: Git, { gitDir, branch, ref }: OpenTicket): Promise<string> {
  const head = await git.query(gitDir).commit(ref);
  if (head === undefined) throw noBranch(branch);
  return head;
}

export function noBranch(branch: string): AppError {
  return new AppError('workspace_tampered', `The branch ${branch} is missing.`);
}
