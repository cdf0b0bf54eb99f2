import { setImmediate as breath } from 'node:timers/promises';
import type { CleanUp } from '../../schemas/housekeeping.ts';
import type { Agents } from '../agents/agents.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { toAppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import type { Store } from '../store/open-store.ts';
import { ticketKey } from '../store/tickets.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';
import type { DiskGuard } from './disk-guard.ts';

export type CleanUpDeps = {
  config: Config;
  store: Pick<Store, 'changes' | 'housekeeping' | 'idempotency' | 'runs'>;
  log: Pick<EventLog, 'closeRun'>;
  workspaces: Pick<Workspaces, 'maintenance' | 'state'>;
  agents: Pick<Agents, 'closeTicket' | 'deleteConversation'>;
  disk: DiskGuard;
  logger: Logger;
  /** Aborted when the server stops: what is left waits for the next time. */
  closing: AbortSignal;
};

const DAY_MS = 86_400_000;
/** Runs looked up at once. */
const BATCH = 100;
/** How long a workspace is left alone even when the disk is full. */
const PRESSED_IDLE_MS = 600_000;

/**
 * Deletes what the retention settings say is old, and packs mirrors. When the disk is low, it also removes what can be
 * fetched again, the longest unused first. Every piece is small and waits its turn in the store.
 */
export async function cleanUp(deps: CleanUpDeps): Promise<CleanUp> {
  const { config, store, workspaces, disk, logger, closing } = deps;
  const { maintenance } = workspaces;
  const started = performance.now();

  /** What fails, on a full disk for one, must not keep the rest from making room. */
  async function attempt<T>(part: string, otherwise: T, work: () => Promise<T>): Promise<T> {
    if (closing.aborted) return otherwise;
    return work().catch((err) => {
      logger.error({ err, part }, 'a part of the clean-up failed');
      return otherwise;
    });
  }

  const isLow = async () => (await disk.look()).low;
  const mirrors_removed = await attempt('unused mirrors', 0, async () =>
    (await isLow()) ? maintenance.removeUnusedMirrors() : 0,
  );
  const { parked, kept } = await attempt('workspaces', { parked: [], kept: [] }, () => parkWorkspaces(deps));
  const events_of_runs = await attempt('events', 0, () => deleteEvents(deps));
  const runs = await attempt('runs', 0, () => deleteRuns(deps));
  const audit_entries = await attempt('audit log', 0, async () =>
    config.RETAIN_AUDIT_DAYS > 0 ? store.housekeeping.deleteAudit(ago(config.RETAIN_AUDIT_DAYS)) : 0,
  );
  // They are void after a day.
  await attempt('idempotency keys', 0, () => store.idempotency.deleteBefore(ago(1)));
  await attempt('store', undefined, () => store.housekeeping.truncateWal());
  await attempt('trash', undefined, maintenance.emptyTrash);
  const conversations = await attempt('conversations', 0, () => dropConversations(deps));
  // Packing needs space of its own for a while.
  const mirrors_packed = await attempt('mirrors', 0, async () =>
    (await isLow()) ? 0 : maintenance.repackMirrors(await store.housekeeping.busyRepos(), closing),
  );
  await maintenance.trashEmptied();
  const report: CleanUp = {
    events_of_runs,
    runs,
    conversations,
    audit_entries,
    mirrors_packed,
    mirrors_removed,
    parked,
    kept,
    free_mb: (await disk.look()).freeMb,
  };
  logger.info({ ...report, kept: kept.length, duration_ms: Math.round(performance.now() - started) }, 'cleaned up');
  return report;
}

async function deleteEvents({ config, store, log, closing }: CleanUpDeps): Promise<number> {
  if (config.RETAIN_EVENTS_DAYS === 0) return 0;
  for (const runId of await store.housekeeping.runsWithEventsLeft()) await store.housekeeping.deleteEvents(runId);
  const before = ago(config.RETAIN_EVENTS_DAYS);
  return each(
    () => store.housekeeping.runsWithOldEvents(before, BATCH),
    async (runId) => {
      await store.housekeeping.deleteEvents(runId);
      log.closeRun(runId);
    },
    closing,
  );
}

async function deleteRuns({ config, store, log, closing }: CleanUpDeps): Promise<number> {
  const { RETAIN_RUNS_DAYS: days, RETAIN_RUNS_PER_TICKET: perTicket } = config;
  const remove = async (runId: string) => {
    await store.housekeeping.deleteRun(runId);
    log.closeRun(runId);
  };
  const before = ago(days);
  const old = days === 0 ? 0 : await each(() => store.housekeeping.oldRuns(before, BATCH), remove, closing);
  if (perTicket === 0) return old;
  return old + (await each(() => store.housekeeping.surplusRuns(perTicket, BATCH), remove, closing));
}

async function dropConversations({ config, store, agents, closing }: CleanUpDeps): Promise<number> {
  if (config.RETAIN_CONVERSATIONS_DAYS === 0) return 0;
  let dropped = 0;
  for (const ticketId of await store.housekeeping.idleTickets(ago(config.RETAIN_CONVERSATIONS_DAYS))) {
    if (closing.aborted) break;
    if (await agents.deleteConversation(ticketId)) dropped += 1;
  }
  return dropped;
}

/** Old ones; when the disk is low, also younger ones until it is not, the longest unused first. */
async function parkWorkspaces(deps: CleanUpDeps): Promise<Pick<CleanUp, 'parked' | 'kept'>> {
  const { config, store, workspaces, disk, closing } = deps;
  const { maintenance } = workspaces;
  const old = config.RETAIN_WORKSPACES_DAYS === 0 ? '' : ago(config.RETAIN_WORKSPACES_DAYS);
  const idle = old === '' ? [] : await store.housekeeping.idleTickets(old);
  const parked: string[] = [];
  const kept: CleanUp['kept'] = [];
  const settle = async (ticketId: string) => {
    const outcome = await parkOne(deps, ticketId);
    if (outcome === 'parked') parked.push(ticketId);
    else if (outcome !== 'nothing to park') kept.push({ ticket_id: ticketId, reason: outcome.reason });
  };
  for (const ticketId of idle) if (!closing.aborted) await settle(ticketId);

  const done = new Set(idle);
  const younger = await store.housekeeping.idleTickets(new Date(Date.now() - PRESSED_IDLE_MS).toISOString());
  for (const ticketId of younger.filter((id) => !done.has(id))) {
    await maintenance.trashEmptied();
    if (closing.aborted || !(await disk.look()).low) break;
    await settle(ticketId);
  }
  await store.housekeeping.recordKeptWorkspaces(kept);
  for (const ticketId of [...parked, ...kept.map(({ ticket_id }) => ticket_id)]) {
    store.changes.notify({ type: 'ticket', ticketKey: ticketKey(ticketId) });
  }
  return { parked, kept };
}

/** Parks a workspace that is there, or tells and logs why not. */
async function parkOne(
  { store, workspaces, agents, logger }: CleanUpDeps,
  ticketId: string,
): Promise<'parked' | 'nothing to park' | { reason: string }> {
  const { maintenance } = workspaces;
  const isIdle = async () => {
    if ((await store.runs.listOpen(ticketId)).length > 0) return false;
    // It would go on with the folder that is about to be removed.
    await agents.closeTicket(ticketId);
    return true;
  };
  try {
    if ((await workspaces.state(ticketId)) !== 'present') return 'nothing to park';
    const reason = await maintenance.park(ticketId, isIdle);
    logger.info({ ticket_id: ticketId, reason }, reason === undefined ? 'workspace parked' : 'workspace kept');
    return reason === undefined ? 'parked' : { reason };
  } catch (err) {
    logger.warn({ err, ticket_id: ticketId }, 'workspace kept: it could not be looked at');
    return { reason: toAppError(err).message };
  }
}

/** Does something with each of what is looked up, batch by batch, with a breath between. Tells how many there were. */
async function each(
  lookUp: () => Promise<string[]>,
  work: (id: string) => Promise<void>,
  closing: AbortSignal,
): Promise<number> {
  let done = 0;
  for (;;) {
    const ids = await lookUp();
    if (ids.length === 0) return done;
    for (const id of ids) {
      if (closing.aborted) return done;
      await work(id);
      await breath();
      done += 1;
    }
  }
}

function ago(days: number): string {
  return new Date(Date.now() - days * DAY_MS).toISOString();
}
