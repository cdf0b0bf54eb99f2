import { readdir } from 'node:fs/promises';
import { abortable } from '../../concurrency/abortable.ts';
import { AppError } from '../../errors/app-error.ts';
import type { Layout } from '../../files/layout.ts';
import { ticketBranch, validateBranchName } from '../../git/branch-name.ts';
import type { RepoRef } from '../../git/repo-url.ts';
import type { RefreshOptions } from '../../mirrors/mirrors.ts';
import { chooseBase, type RemoteHeads } from '../../mirrors/remote-heads.ts';
import type { WorkspaceContext } from '../context.ts';
import { findTicket } from '../open-ticket.ts';
import type { TreeScan } from '../scan/tree-scan.ts';
import { refuseDefaultBranch } from '../sync/push.ts';

export type CreateRequest = { ticketId: string; repo: RepoRef; baseBranch?: string | undefined };

/** A workspace whose commits are in the mirror, and whose files are not written yet. */
export type Prepared = CreateRequest & {
  /** Undefined when the workspace exists already. Then nothing was fetched. */
  plan: CheckoutPlan | undefined;
};

export type CheckoutPlan = {
  mirror: string;
  branch: string;
  baseBranch: string;
  /** Newest commit of the base branch. */
  base: string;
  /** Newest commit of the ticket's branch, when the remote has that branch. */
  remoteHead: string | undefined;
  /** The commit to check out: `remoteHead`, or else `base`. */
  head: string;
  scan: TreeScan;
  heads: RemoteHeads;
};

/**
 * Fetches the branches of a new ticket, chooses its base and scans the tree that is to be checked out.
 * @throws AppError `invalid_request`, `workspace_tampered`, `push_rejected`; the errors of `chooseBase`, TreeScans and a fetch
 */
export async function prepareWorkspace(
  { git, layout, mirrors, scans }: WorkspaceContext,
  request: CreateRequest,
  options: RefreshOptions,
): Promise<Prepared> {
  const { ticketId, repo, baseBranch } = request;
  const branch = ticketBranch(ticketId);
  if (baseBranch !== undefined) refuseOwnBranch(validateBranchName(baseBranch), branch);
  if ((await findTicket(git, layout, ticketId)) !== undefined) return { ...request, plan: undefined };
  await refuseOccupied(layout, ticketId);
  const heads = await mirrors.refresh({ repo, baseBranch, ticketBranch: branch }, options);
  const base = chooseBase(heads, repo, baseBranch);
  refuseOwnBranch(base.branch, branch);
  refuseDefaultBranch(heads.defaultBranch, branch);
  const mirror = layout.mirror(repo.url);
  const remoteHead = heads.branches.get(branch);
  const head = remoteHead ?? base.sha;
  const scan = await abortable(scans.check(mirror, head), options.signal);
  const plan = { mirror, branch, baseBranch: base.branch, base: base.sha, remoteHead, head, scan, heads };
  return { ...request, plan };
}

/** Refuses to replace a folder, and refuses an id that differs from another one by case only. */
async function refuseOccupied(layout: Layout, ticketId: string): Promise<void> {
  const names = await readdir(layout.tickets.root);
  const other = names.find((name) => name.toLowerCase() === ticketId.toLowerCase());
  if (other === undefined) return;
  if (other === ticketId) throw notAWorkspace(ticketId);
  throw new AppError('invalid_request', `The id ${ticketId} differs from the existing ${other} by case only.`);
}

/** Returns the error for a folder in TICKETS_ROOT that belongs to no ticket. */
export function notAWorkspace(ticketId: string, cause?: unknown): AppError {
  return new AppError('workspace_tampered', `${ticketId} in TICKETS_ROOT is not a workspace of this server.`, {
    cause,
    remedy: 'Move it away, or use another ticket id.',
  });
}

/** A pull request needs two branches, and git cannot keep both `ticket_X` and `ticket_X/y`. */
function refuseOwnBranch(baseBranch: string, branch: string): void {
  if (baseBranch !== branch && !baseBranch.startsWith(`${branch}/`)) return;
  throw new AppError('invalid_request', `${baseBranch} cannot be the base of the ticket whose branch is ${branch}.`);
}
