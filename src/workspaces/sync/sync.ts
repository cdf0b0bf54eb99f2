import { statSync } from 'node:fs';
import { join } from 'node:path';
import { parseRepoUrl } from '../../git/repo-url.ts';
import type { Mirrors, RefreshOptions } from '../../mirrors/mirrors.ts';
import { chooseBase, type RemoteHeads } from '../../mirrors/remote-heads.ts';
import { copyShallow, SHALLOW } from '../../mirrors/shallow.ts';
import { noBranch, type OpenTicket } from '../open-ticket.ts';
import type { TreeScans } from '../scan/tree-scan.ts';
import { checkHead } from '../worktree/checks.ts';
import { printable } from '../worktree/format-paths.ts';
import { moveWorkspace } from '../worktree/move-workspace.ts';
import { checkWorkspace, type TreeTools } from '../worktree/snapshot.ts';
import { mergeCommits } from './merge.ts';

export type SyncResult = { head: string; base: string; updated: boolean; notes: string[] };

/** Tickets that are up to date with the heads of their remote, by id. `refs` changes when anybody moves a branch. */
export type SyncCache = Map<string, { heads: WeakRef<RemoteHeads>; refs: string; synced: SyncResult }>;

/**
 * Fetches, and merges the remote's ticket branch and base branch into the ticket's branch. Uncommitted work stays. When it blocks
 * the merge, nothing changes and a note is returned.
 * @throws AppError `merge_conflict` and the errors of TreeScans, with the workspace unchanged; `base_branch_not_found`;
 *   the errors of a fetch
 */
export async function syncTicket(
  deps: {
    tools: TreeTools;
    mirrors: Mirrors;
    scans: TreeScans;
    allowedHosts: readonly string[];
    syncCache: SyncCache;
  },
  ticket: OpenTicket,
  options: RefreshOptions,
): Promise<SyncResult> {
  const { tools, mirrors, scans, allowedHosts, syncCache } = deps;
  const { git } = tools;
  const { ticketId, gitDir, branch, baseBranch, ref } = ticket;
  checkHead(gitDir, branch);
  await checkWorkspace(ticket);

  const repo = parseRepoUrl(ticket.repoUrl, allowedHosts);
  const heads = await mirrors.refresh({ repo, baseBranch, ticketBranch: branch }, options);
  const cached = syncCache.get(ticketId);
  if (cached?.heads.deref() === heads && cached.refs === stateOfRefs(ticket)) return cached.synced;
  const base = chooseBase(heads, repo, baseBranch).sha;
  // The mirror may have been shallow when the ticket was created.
  await copyShallow(ticket.mirror, gitDir);
  const pushed = heads.branches.get(branch);
  const refs = await git.query(gitDir).refs('refs/');
  const before = refs.get(ref);
  if (before === undefined) throw noBranch(branch);
  const remoteRefs = new Map([
    [ticket.baseRef, base],
    ...(pushed === undefined ? [] : [[ticket.pushedRef, pushed] as const]),
  ]);
  const moved = [...remoteRefs].filter(([name, sha]) => refs.get(name) !== sha);
  if (moved.length > 0) {
    await mirrors.protect(ticket.mirror, ticketId, [...remoteRefs.values()]);
    const input = moved.map(([name, sha]) => `update ${name} ${sha}\n`).join('');
    await git.run(['update-ref', '--stdin'], { gitDir, input });
  }

  const merge = (ours: string, theirs: string, name: string) =>
    mergeCommits(git, scans, gitDir, ours, theirs, { ours: branch, theirs: name });
  const withPushed = pushed === undefined ? before : await merge(before, pushed, `origin/${branch}`);
  const head = await merge(withPushed, base, baseBranch);
  const blocked =
    head === before ? undefined : await moveWorkspace(tools, ticket, ref, { from: before, to: head }, options.signal);
  if (blocked === undefined) {
    recordSync(syncCache, ticket, heads, { head, base });
    return { head, base, updated: head !== before, notes: [] };
  }
  const note = `The new commits were not merged: ${printable(blocked)} has uncommitted changes.`;
  return { head: before, base, updated: false, notes: [note] };
}

type Refs = Pick<OpenTicket, 'ticketId' | 'gitDir' | 'ref'>;

/** Caches that a ticket is up to date with the heads of its remote. */
export function recordSync(
  syncCache: SyncCache,
  ticket: Refs,
  heads: RemoteHeads,
  { head, base }: Pick<SyncResult, 'head' | 'base'>,
): void {
  // A shallow ticket needs another sync, to complete its history.
  if (statSync(join(ticket.gitDir, SHALLOW), { throwIfNoEntry: false })) {
    syncCache.delete(ticket.ticketId);
    return;
  }
  const synced = { head, base, updated: false, notes: [] };
  syncCache.set(ticket.ticketId, { heads: new WeakRef(heads), refs: stateOfRefs(ticket), synced });
}

/** Returns a text that changes with each update of a branch: git replaces the file of the ref. */
function stateOfRefs({ gitDir, ref }: Refs): string {
  const states = [ref, 'packed-refs'].map((name) => {
    const found = statSync(join(gitDir, name), { bigint: true, throwIfNoEntry: false });
    return found ? `${found.ino} ${found.mtimeNs}` : '-';
  });
  return states.join(' ');
}
