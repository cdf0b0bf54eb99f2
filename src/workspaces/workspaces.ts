import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Diff } from '../../schemas/ticket.ts';
import { createKeyedMutex } from '../concurrency/keyed-mutex.ts';
import { createSharedFlights } from '../concurrency/single-flight.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import { exists } from '../files/entries.ts';
import { classifyFileError } from '../files/errors.ts';
import { createLayout } from '../files/layout.ts';
import { type FileSystem, probeFileSystem } from '../files/probe.ts';
import { ticketBranch, validateBranchName } from '../git/branch-name.ts';
import type { Git } from '../git/git.ts';
import type { CommitLine } from '../git/git-queries.ts';
import type { GitProgress } from '../git/progress.ts';
import { parseRepoUrl, type RepoRef, remoteUrl } from '../git/repo-url.ts';
import { createMirrorCare } from '../mirrors/mirror-lock.ts';
import { createMirrors } from '../mirrors/mirrors.ts';
import { chooseBase, listRemote } from '../mirrors/remote-heads.ts';
import { createPlainPacks } from '../mirrors/uncompressed-packs.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { createTrash } from '../trees/trash.ts';
import { createTreePrograms } from '../trees/tree-programs.ts';
import { buildWorkspace } from './checkout/create-workspace.ts';
import { createGitDirs } from './checkout/git-dir.ts';
import { createSpareCheckouts } from './checkout/spare-checkouts.ts';
import { checkpointOf } from './commit/checkpoint.ts';
import { type Committed, commitWorkspace } from './commit/commit.ts';
import type { CommitText } from './commit/commit-message.ts';
import { createUpkeep, type Upkeep } from './maintenance/maintenance.ts';
import { unpark } from './maintenance/parking.ts';
import { recoverFolders } from './maintenance/recover.ts';
import { findTicket, type OpenTicket, openTicket, readTicket } from './open-ticket.ts';
import { createTreeLimits } from './scan/tree-limits.ts';
import { createTreeScans } from './scan/tree-scan.ts';
import { commitsOf, diffOf, hidingAttributesOf, statusOf, type WorkspaceStatus } from './status.ts';
import { headOf, noBranch, noteUpToDate, type Synced, syncTicket, type UpToDate } from './sync/sync.ts';
import { hasGitFile, restoreGitFile } from './worktree/git-file.ts';
import { finishMove } from './worktree/move-workspace.ts';

export type WorkOptions = {
  signal?: AbortSignal | undefined;
  /** How far clone, fetch, checkout and push are. */
  onProgress?: ((progress: GitProgress) => void) | undefined;
};

export type CreateRequest = {
  ticketId: string;
  repo: RepoRef;
  baseBranch?: string | undefined;
  /** Called when the checkout begins: an empty folder beside the workspaces that is to become this one, if there is one. */
  place?: (() => string | undefined) | undefined;
};

export type Created = {
  /** False when the workspace was there already; then nothing was fetched. */
  created: boolean;
  branch: string;
  baseBranch: string;
  /** Newest commits of the base branch and of the ticket's branch. */
  base: string;
  head: string;
  /** For a person: what the server does not do with this repository. */
  notes: string[];
};

export type Workspaces = {
  /** To be called once, before all else. Throws an Error when TICKETS_ROOT is not that of DATA_DIR. */
  recover(): Promise<void>;
  /**
   * Makes a ticket's workspace, all or nothing; again is harmless. Throws also `ticket_repo_mismatch`. `check` as for `sync`.
   */
  create(request: CreateRequest, options?: WorkOptions & { check?: () => Promise<void> }): Promise<Created>;
  /**
   * `check` is called when the ticket's turn has come, before anything changes; `fresh` asks the remote even when it was
   * asked within FETCH_TTL_SECONDS, `quick` does not wait for one that was asked within the last five minutes.
   */
  sync(
    ticketId: string,
    options?: WorkOptions & { check?: () => Promise<void>; fresh?: boolean; quick?: boolean },
  ): Promise<Synced>;
  /** Commits all or nothing: the signal counts until the branch is moved. */
  commit(ticketId: string, text: CommitText, options?: Pick<WorkOptions, 'signal'>): Promise<Committed>;
  /**
   * Pushes the ticket's branch and nothing else, never by force and never when it is the remote's default branch; a
   * remote that has it already is success. `ref` is the full name. Throws also `push_rejected`.
   */
  push(ticketId: string, options?: WorkOptions): Promise<{ ref: string; sha: string }>;
  /** Keeps what is not committed as a commit on no branch; undefined when there is nothing. @param name of the ref */
  checkpoint(
    ticketId: string,
    name: string,
    options?: Pick<WorkOptions, 'signal'>,
  ): Promise<{ ref: string; sha: string } | undefined>;
  /** Readers at the same time share one comparison; it ends with the last of them. */
  diff(ticketId: string, options?: Pick<WorkOptions, 'signal'>): Promise<Diff>;
  status(ticketId: string, options?: Pick<WorkOptions, 'signal'>): Promise<WorkspaceStatus>;
  commits(ticketId: string, since?: string): Promise<CommitLine[]>;
  /** Lines of attributes that are new on the branch, and by which changes may be hidden from review; for a person. */
  hidingAttributes(ticketId: string): Promise<string[]>;
  /**
   * Removes a workspace and everything it held, also what a creation left that failed; its disk space is freed later. None
   * there is harmless.
   */
  remove(ticketId: string, repoUrl: string): Promise<void>;
  /** Absolute paths. The git directory borrows objects from the mirror. */
  paths(ticketId: string): Promise<{ workspace: string; gitDir: string; mirror: string }>;
  /** What the disk of the workspaces is like; tried once. */
  fileSystem(): Promise<FileSystem>;
  upkeep: Upkeep;
  /** Ends what is done in the background; what was thrown away and is not deleted yet, the next start deletes. */
  close(): Promise<void>;
};

/**
 * A workspace per ticket: a plain checkout in TICKETS_ROOT whose git directory lies in DATA_DIR, out of reach of what
 * works in the checkout, and borrows its objects from one mirror per repository.
 * Each method but `recover`, `create`, `remove` and `close` throws AppError `ticket_not_found`.
 */
export function createWorkspaces(deps: {
  config: Pick<
    Config,
    | 'DATA_DIR'
    | 'TICKETS_ROOT'
    | 'ALLOWED_REPO_HOSTS'
    | 'PROTECTED_PATHS'
    | 'FETCH_TTL_SECONDS'
    | 'SPARE_CHECKOUTS'
    | 'MIN_FREE_DISK_MB'
    | 'MAX_WORKSPACE_MB'
  >;
  git: Git;
  sandbox: Pick<Sandbox, 'confine' | 'identities'>;
  redactor: Redactor;
  logger?: Logger;
}): Workspaces {
  const { config, git, sandbox, redactor, logger } = deps;
  const { confine, identities } = sandbox;
  const allowedHosts = config.ALLOWED_REPO_HOSTS;
  const layout = createLayout(config);
  const { staging } = layout.data;
  const programs = createTreePrograms(confine, identities);
  const tools = { git, programs, identities, staging };
  const trash = createTrash(confine, logger);
  const care = createMirrorCare(git);
  const mirrors = createMirrors({ config, git, layout, trash, care });
  const plainPacks = createPlainPacks({ git, layout, trash, care, logger });
  let probed: Promise<FileSystem> | undefined;
  const fileSystem = () => {
    probed ??= probeFileSystem(layout.tickets.staging);
    return probed;
  };
  const ignoresCase = async () => (await fileSystem()).ignoresCase;
  const scans = createTreeScans(git, async () => createTreeLimits(await fileSystem(), layout, config.MAX_WORKSPACE_MB));
  const makeGitDir = createGitDirs(git, layout, ignoresCase);
  const spareCheckouts = createSpareCheckouts({ config, tools, layout, trash, care, makeGitDir, logger });
  const building = {
    tools,
    layout,
    trash,
    plainPacks,
    spareCheckouts,
    scans,
    makeGitDir,
  };
  const oneAtATime = createKeyedMutex();
  const upToDate: UpToDate = new Map();
  const quarantineOf = (ticketId: string) => join(layout.tickets.quarantine, ticketId);

  /** Work that changes a ticket: alone with it, and with nothing of an earlier one left half done. */
  async function change<T>(
    ticketId: string,
    signal: AbortSignal | undefined,
    work: (ticket: OpenTicket) => Promise<T>,
  ): Promise<T> {
    return oneAtATime(ticketId.toLowerCase(), signal, async () => {
      const ticket = await openTicket(git, layout, ticketId);
      if (ticket.parked) await unpark(building, ticket, { signal });
      await finishMove(tools, ticket, ticket.ref, signal);
      return work(ticket);
    }).catch(rethrow);
  }

  /** Looks at a ticket without waiting for its turn. */
  async function look<T>(ticketId: string, view: (ticket: OpenTicket) => Promise<T>): Promise<T> {
    const ticket = await openTicket(git, layout, ticketId);
    try {
      return await view(ticket);
    } catch (error) {
      const now = await findTicket(git, layout, ticketId);
      // It was parked, or came back, under the eyes of the looker.
      if (now !== undefined && now.parked !== ticket.parked) return view(now).catch(rethrow);
      return rethrow(error);
    }
  }

  const diffs = createSharedFlights<string, Diff, never>(([ticketId = ''], { signal }) =>
    look(ticketId, (ticket) => diffOf(tools, scans, ticket, signal)),
  );

  async function createNew(
    { ticketId, repo, baseBranch, place }: CreateRequest,
    options: WorkOptions,
  ): Promise<Created> {
    const branch = ticketBranch(ticketId);
    await refuseOccupied(ticketId);
    const heads = await mirrors.refresh({ repo, baseBranch, ticketBranch: branch }, options);
    const base = chooseBase(heads, repo, baseBranch);
    refuseOwnBranch(base.branch, branch);
    refuseDefaultBranch(heads.defaultBranch, branch);
    const remoteHead = heads.branches.get(branch);
    const head = remoteHead ?? base.sha;
    const isKept = mirrors.protect(layout.mirror(repo.url), ticketId, [base.sha, head]);
    // Told when the workspace is about to be published.
    isKept.catch(() => {});
    const wanted = { ticketId, repo, branch, baseBranch: base.branch, base: base.sha, remoteHead, isKept, place };
    // One that fails leaves nothing under way: what was kept may be let go at once.
    const notes = await buildWorkspace(building, wanted, options).finally(() => isKept.catch(() => {}));
    if (remoteHead !== undefined) {
      notes.push(`The branch ${branch} exists on the remote; the ticket goes on from it.`);
    } else {
      // So its first command need not find out.
      const refs = { ticketId, gitDir: layout.ticket(ticketId).gitDir, ref: `refs/heads/${branch}` };
      noteUpToDate(upToDate, refs, heads, { head, base: base.sha });
    }
    logger?.info({ ticket_id: ticketId, repo: repo.url, head }, 'workspace created');
    return { created: true, branch, baseBranch: base.branch, base: base.sha, head, notes };
  }

  async function describeExisting(ticket: OpenTicket, { repo, baseBranch }: CreateRequest): Promise<Created> {
    if (ticket.repoUrl.toLowerCase() !== repo.url.toLowerCase()) {
      throw new AppError('ticket_repo_mismatch', `Ticket ${ticket.ticketId} belongs to ${ticket.repoUrl}.`);
    }
    const refs = await git.ask(ticket.gitDir).refs('refs/');
    const head = refs.get(ticket.ref);
    if (head === undefined) throw noBranch(ticket.branch);
    const base = refs.get(ticket.baseRef) ?? head;
    const kept = `The ticket keeps its base branch ${ticket.baseBranch}.`;
    const notes = baseBranch === undefined || baseBranch === ticket.baseBranch ? [] : [kept];
    return { created: false, branch: ticket.branch, baseBranch: ticket.baseBranch, base, head, notes };
  }

  /** What is in the place is never replaced, nor is a ticket whose id a file system could take for this one. */
  async function refuseOccupied(ticketId: string): Promise<void> {
    const others = await readdir(layout.tickets.root);
    const other = others.find((name) => name.toLowerCase() === ticketId.toLowerCase());
    if (other === undefined) return;
    if (other !== ticketId) {
      throw new AppError('invalid_request', `The id ${ticketId} differs from the existing ${other} by case only.`);
    }
    throw new AppError('workspace_tampered', `${other} in TICKETS_ROOT is not a workspace of this server.`, {
      remedy: 'Move it away, or use another ticket id.',
    });
  }

  return {
    async recover() {
      await git.checkVersion();
      await recoverFolders({ tools, layout, mirrors, trash, logger }).catch(rethrow);
      const { type, ignoresCase } = await fileSystem().catch(rethrow);
      logger?.info({ file_system: type, ignores_case: ignoresCase }, 'workspaces are checked out by git');
    },

    async create(request, options = {}) {
      const { ticketId, baseBranch } = request;
      layout.ticket(ticketId);
      if (baseBranch !== undefined) refuseOwnBranch(validateBranchName(baseBranch), ticketBranch(ticketId));
      return oneAtATime(ticketId.toLowerCase(), options.signal, async () => {
        await options.check?.();
        const existing = await findTicket(git, layout, ticketId);
        if (existing === undefined) return createNew(request, options);
        const described = await describeExisting(existing, request);
        if (existing.parked) await unpark(building, existing, options);
        return described;
      }).catch(rethrow);
    },

    sync: (ticketId, options = {}) =>
      change(ticketId, options.signal, async (ticket) => {
        await options.check?.();
        const restored = (await hasGitFile(ticket.workspace))
          ? []
          : await restoreGitFile(programs, ticket, quarantineOf(ticketId), options.signal);
        const synced = await syncTicket({ tools, mirrors, scans, allowedHosts, upToDate }, ticket, options);
        return { ...synced, notes: [...restored, ...synced.notes] };
      }),

    commit: (ticketId, text, { signal } = {}) =>
      change(ticketId, signal, (ticket) =>
        commitWorkspace(
          { tools, redactor, quarantine: quarantineOf(ticketId), protectedPaths: config.PROTECTED_PATHS },
          ticket,
          ticket.branch,
          text,
          signal,
        ),
      ),

    push: (ticketId, options = {}) =>
      change(ticketId, options.signal, async (ticket) => {
        const { gitDir, ref, pushedRef } = ticket;
        const repo = parseRepoUrl(ticket.repoUrl, allowedHosts);
        // Since the ticket was created, the branch may have become the default one.
        refuseDefaultBranch((await listRemote(git, repo, options.signal)).defaultBranch, ticket.branch);
        const sha = await headOf(git, ticket);
        const flags = ['--porcelain', '--progress', '--no-verify', '--recurse-submodules=no'];
        try {
          await git.run(['push', ...flags, '--', remoteUrl(repo), `${sha}:${ref}`], { gitDir, repo, ...options });
        } finally {
          mirrors.forget(repo);
        }
        await git.run(['update-ref', '-m', 'push', pushedRef, sha], { gitDir });
        return { ref, sha };
      }),

    checkpoint: (ticketId, name, { signal } = {}) =>
      change(ticketId, signal, async (ticket) => checkpointOf(tools, ticket, await headOf(git, ticket), name, signal)),

    diff: (ticketId, { signal } = {}) => diffs(ticketId, ticketId, { signal }),
    status: (ticketId, { signal } = {}) => look(ticketId, (ticket) => statusOf(tools, ticket, signal)),
    commits: async (ticketId, since) => commitsOf(git, await openTicket(git, layout, ticketId), since),
    hidingAttributes: async (ticketId) => hidingAttributesOf(git, await openTicket(git, layout, ticketId)),

    remove: (ticketId, repoUrl) =>
      oneAtATime(ticketId.toLowerCase(), undefined, async () => {
        const ticket = readTicket(layout, ticketId);
        upToDate.delete(ticketId);
        if (ticket !== undefined) {
          await trash.add(ticket.workspace, layout.tickets.trash);
          await trash.add(ticket.gitDir, layout.data.trash);
          await trash.add(quarantineOf(ticketId), layout.tickets.trash);
        }
        const mirror = ticket?.mirror ?? layout.mirror(repoUrl);
        if (await exists(mirror)) await mirrors.release(mirror, ticketId);
      }).catch(rethrow),

    async paths(ticketId) {
      const { workspace, gitDir, mirror } = await openTicket(git, layout, ticketId);
      return { workspace, gitDir, mirror };
    },

    fileSystem,
    upkeep: createUpkeep({ tools, layout, trash, care, spareCheckouts, oneAtATime }),
    async close() {
      trash.close();
      await mirrors.close();
      await plainPacks.close();
      await spareCheckouts.close();
      await trash.idle();
    },
  };
}

/** A pull request needs two branches, and git cannot keep both `ticket_X` and `ticket_X/y`. */
function refuseOwnBranch(baseBranch: string, branch: string): void {
  if (baseBranch !== branch && !baseBranch.startsWith(`${branch}/`)) return;
  throw new AppError('invalid_request', `${baseBranch} cannot be the base of the ticket whose branch is ${branch}.`);
}

/** What is merged there was reviewed; what an agent wrote was not. */
function refuseDefaultBranch(defaultBranch: string | undefined, branch: string): void {
  if (defaultBranch !== branch) return;
  throw new AppError('push_rejected', `${branch} is the default branch of the repository; nothing is pushed to that.`, {
    remedy: 'Make another branch the default one, or use another ticket id.',
  });
}

function rethrow(error: unknown): never {
  throw classifyFileError(error);
}
