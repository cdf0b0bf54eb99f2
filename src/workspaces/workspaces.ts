import { join } from 'node:path';
import type { Diff, WorkspaceState } from '../../schemas/ticket.ts';
import { createSingleFlight } from '../concurrency/single-flight.ts';
import type { GitOptions } from '../git/git.ts';
import type { RefreshOptions } from '../mirrors/mirrors.ts';
import { type MaterializeOptions, materializeWorkspace } from './checkout/create-workspace.ts';
import { type CreateRequest, type Prepared, prepareWorkspace } from './checkout/prepare.ts';
import { checkpointOf } from './commit/checkpoint.ts';
import { commitWorkspace } from './commit/commit.ts';
import type { CommitText } from './commit/commit-message.ts';
import { createContext, type WorkspaceContext, type WorkspacesDeps } from './context.ts';
import { createMaintenance } from './maintenance/maintenance.ts';
import { recoverFolders } from './maintenance/recover.ts';
import { removeWorkspace } from './maintenance/remove.ts';
import { findTicket, headOf, openTicket } from './open-ticket.ts';
import { commitsOf, diffOf, hidingAttributesOf, statusOf } from './status.ts';
import { pushTicket } from './sync/push.ts';
import { syncTicket } from './sync/sync.ts';
import { throwStorageFailure, withTicket, withTicketLock } from './ticket-lock.ts';
import { hasGitFile, restoreGitFile } from './worktree/git-file.ts';

/**
 * Creates the workspaces of tickets. A workspace is a plain checkout in TICKETS_ROOT. Its git directory is in DATA_DIR, where no agent
 * can write, and borrows its objects from the mirror of the repository. The disk holds the state, no database does:
 *
 *     state      on disk
 *     none       no git directory with a record of the ticket
 *     staged     files and git directory in staging folders, under random names
 *     ready      the git directory and the workspace, both complete; `present` in the API
 *     moving     ready, with the journal `moving` in the git directory: between two commits
 *     parked     the git directory only, with `parked_at` in its record or with commits that are not pushed
 *
 *     transition    from -> to                 how
 *     prepare       none -> none               fetches, chooses the base and scans the tree; writes no file
 *     materialize   none -> staged -> ready    writes the files and publishes them by renames, the workspace last
 *     sync          ready -> moving -> ready   fetches and merges; a failed move is undone
 *     commit        ready -> ready             also checkpoint and push
 *     park          ready -> parked            moves the files to the trash, when all work is pushed
 *     unpark        parked -> ready            at the beginning of each write
 *     remove        any -> none                moves all folders to the trash, which is emptied in the background
 *     recover       staged -> none             at the start of the server; it also completes the moves
 *
 * A commit or sync moves a `.git` that an agent made to the quarantine folder of the ticket, until the ticket is removed.
 */
export function createWorkspaces(deps: WorkspacesDeps) {
  const context = createContext(deps);
  return { ...createReads(context), ...createWrites(context), ...createLifecycle(context) };
}

export type Workspaces = ReturnType<typeof createWorkspaces>;

type Signal = Pick<GitOptions, 'signal'>;

/** `onProgress` receives the progress of fetch, checkout and push. */
type WorkOptions = Pick<GitOptions, 'signal' | 'onProgress'>;

/** `check` is called with the lock of the ticket held, before anything changes. */
type Checked = { check?: () => Promise<void> };

/** Reads never wait for writes. Each throws AppError `ticket_not_found`, except `state`. */
function createReads(context: WorkspaceContext) {
  const { git, tools, scans, layout } = context;
  const diffs = createSingleFlight<string, Diff, never>(([ticketId = ''], { signal }) =>
    withTicket(context, ticketId, (ticket) => diffOf(tools, scans, ticket, signal)),
  );
  return {
    /** Compares the ticket's work with its base. Concurrent calls share one comparison. */
    diff: (ticketId: string, { signal }: Signal = {}) => diffs(ticketId, ticketId, { signal }),

    status: (ticketId: string, { signal }: Signal = {}) =>
      withTicket(context, ticketId, (ticket) => statusOf(tools, ticket, signal)),

    /** Lists the commits of the branch after `since`, or after the base. */
    commits: (ticketId: string, since?: string) =>
      withTicket(context, ticketId, (ticket) => commitsOf(git, ticket, since)),

    /** Lists attributes that the branch adds and that may hide changes from review; for a person. */
    hidingAttributes: (ticketId: string) => withTicket(context, ticketId, (ticket) => hidingAttributesOf(git, ticket)),

    /** Returns absolute paths. */
    async paths(ticketId: string) {
      const { workspace, gitDir, mirror } = await openTicket(git, layout, ticketId);
      return { workspace, gitDir, mirror };
    },

    async state(ticketId: string): Promise<WorkspaceState> {
      const ticket = await findTicket(git, layout, ticketId);
      if (ticket === undefined) return 'missing';
      return ticket.parked ? 'parked' : 'present';
    },
  };
}

/** Writes run one at a time per ticket. Those of an existing ticket throw AppError `ticket_not_found`. */
function createWrites(context: WorkspaceContext) {
  const { git, tools, layout, trash, ticketLock } = context;
  const quarantineOf = (ticketId: string) => join(layout.tickets.quarantine, ticketId);

  return {
    /** Fetches what a new workspace needs. Throws as `prepareWorkspace`. */
    prepare: (request: CreateRequest, options: WorkOptions = {}) =>
      ticketLock(request.ticketId, options.signal, () => prepareWorkspace(context, request, options)),

    /** Writes the files, all or nothing. `folder` is used up, also by a failure. Throws as `materializeWorkspace`. */
    async materialize(prepared: Prepared, options: MaterializeOptions = {}) {
      const { folder, signal } = options;
      try {
        return await ticketLock(prepared.ticketId, signal, () => materializeWorkspace(context, prepared, options));
      } finally {
        if (folder !== undefined) await trash.add(folder, layout.tickets.trash);
      }
    },

    /** Prepares and materializes a workspace. An existing one is only restored. */
    create: (request: CreateRequest, { check, ...options }: WorkOptions & Checked = {}) =>
      ticketLock(request.ticketId, options.signal, async () => {
        await check?.();
        return materializeWorkspace(context, await prepareWorkspace(context, request, options), options);
      }),

    /** Throws as `syncTicket`. */
    sync: (ticketId: string, options: RefreshOptions & Checked = {}) =>
      withTicketLock(context, ticketId, options.signal, async (ticket) => {
        await options.check?.();
        const restored = (await hasGitFile(ticket.workspace))
          ? []
          : await restoreGitFile(tools.programs, ticket, quarantineOf(ticketId), options.signal);
        const synced = await syncTicket(context, ticket, options);
        return { ...synced, notes: [...restored, ...synced.notes] };
      }),

    /** Commits all or nothing. Throws as `commitWorkspace`. */
    commit: (ticketId: string, text: CommitText, { signal }: Signal = {}) =>
      withTicketLock(context, ticketId, signal, (ticket) =>
        commitWorkspace({ ...context, quarantine: quarantineOf(ticketId) }, ticket, ticket.branch, text, signal),
      ),

    /** Throws as `pushTicket`. */
    push: (ticketId: string, options: WorkOptions = {}) =>
      withTicketLock(context, ticketId, options.signal, (ticket) => pushTicket(context, ticket, options)),

    /** Keeps uncommitted work as a commit on no branch. Throws as `checkpointOf`. */
    checkpoint: (ticketId: string, name: string, { signal }: Signal = {}) =>
      withTicketLock(context, ticketId, signal, async (ticket) =>
        checkpointOf(tools, ticket, await headOf(git, ticket), name, signal),
      ),

    /** Removes a workspace and all that belongs to it, also the leftovers of a failed creation. */
    remove: (ticketId: string, repoUrl: string) =>
      ticketLock(ticketId, undefined, () => removeWorkspace(context, ticketId, repoUrl, quarantineOf(ticketId))),
  };
}

function createLifecycle(context: WorkspaceContext) {
  const { git, logger, fileSystem, trash, mirrors, uncompressedPacks, spareCheckouts } = context;
  return {
    /** Must be called first, once. Throws Error when TICKETS_ROOT does not belong to DATA_DIR. */
    async recover() {
      await git.checkVersion();
      await recoverFolders(context).catch(throwStorageFailure);
      const { type, ignoresCase } = await fileSystem().catch(throwStorageFailure);
      logger?.info({ file_system: type, ignores_case: ignoresCase }, 'probed file system of TICKETS_ROOT');
    },

    /** Returns the limits of the file system of TICKETS_ROOT, which is probed once. */
    fileSystem,

    maintenance: createMaintenance(context),

    /** Aborts background work. The next start deletes the remaining trash. */
    async close() {
      trash.close();
      await mirrors.close();
      await uncompressedPacks.close();
      await spareCheckouts.close();
      await trash.idle();
    },
  };
}
