import { setImmediate as nextTurn } from 'node:timers/promises';
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
  config: Pick<Config, keyof Config & `RETAIN_${string}`>;
  store: Pick<Store, 'changes' | 'housekeeping' | 'idempotency' | 'runs'>;
  log: Pick<EventLog, 'closeRun'>;
  workspaces: Pick<Workspaces, 'maintenance' | 'state'>;
  agents: Pick<Agents, 'closeTicket' | 'deleteConversation'>;
  disk: DiskGuard;
  logger: Logger;
  /** Aborted when the server stops. The next clean-up does the rest. */
  closing: AbortSignal;
};

const DAY_MS = 86_400_000;
/** Runs read by one query. */
const BATCH_SIZE = 100;
/** Time for which a workspace must be idle to be parked for disk space. */
const MIN_IDLE_MS = 600_000;

/**
 * Deletes data older than the retention settings, parks workspaces and packs mirrors. While disk space is low, also removes
 * files that can be fetched again, least recently used first. Works in small steps, to keep the store available.
 */
export async function cleanUp(deps: CleanUpDeps): Promise<CleanUp> {
  const { config, store, workspaces, disk, logger, closing } = deps;
  const { maintenance } = workspaces;
  const started = performance.now();

  /** Runs a step. A failure, such as on a full disk, must not prevent the other steps from freeing space. */
  async function attempt<T>(step: string, otherwise: T, task: () => Promise<T>): Promise<T> {
    if (closing.aborted) return otherwise;
    return task().catch((err) => {
      logger.error({ err, step }, 'clean-up step failed');
      return otherwise;
    });
  }

  const isLow = async () => (await disk.check()).low;
  const mirrors_removed = await attempt('unused mirrors', 0, async () =>
    (await isLow()) ? maintenance.removeUnusedMirrors() : 0,
  );
  const { parked, kept } = await attempt('workspaces', { parked: [], kept: [] }, () => parkWorkspaces(deps));
  const events_of_runs = await attempt('events', 0, () => deleteEvents(deps));
  const runs = await attempt('runs', 0, () => deleteRuns(deps));
  const audit_entries = await attempt('audit log', 0, async () =>
    config.RETAIN_AUDIT_DAYS > 0 ? store.housekeeping.deleteAudit(daysAgo(config.RETAIN_AUDIT_DAYS)) : 0,
  );
  // They are valid for a day.
  await attempt('idempotency keys', 0, () => store.idempotency.deleteBefore(daysAgo(1)));
  await attempt('store', undefined, () => store.housekeeping.truncateWal());
  await attempt('trash', undefined, maintenance.emptyTrash);
  const conversations = await attempt('conversations', 0, () => deleteConversations(deps));
  // Packing needs disk space temporarily.
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
    free_mb: (await disk.check()).freeMb,
  };
  const duration_ms = Math.round(performance.now() - started);
  logger.info({ ...report, kept: kept.length, duration_ms }, 'clean-up finished');
  return report;
}

async function deleteEvents({ config, store, log, closing }: CleanUpDeps): Promise<number> {
  if (config.RETAIN_EVENTS_DAYS === 0) return 0;
  for (const runId of await store.housekeeping.runsWithEventsLeft()) await store.housekeeping.deleteEvents(runId);
  const before = daysAgo(config.RETAIN_EVENTS_DAYS);
  return forEachBatch(
    () => store.housekeeping.runsWithOldEvents(before, BATCH_SIZE),
    async (runId) => {
      await store.housekeeping.deleteEvents(runId);
      log.closeRun(runId);
    },
    closing,
  );
}

async function deleteRuns({ config, store, log, closing }: CleanUpDeps): Promise<number> {
  const { RETAIN_RUNS_DAYS: days, RETAIN_RUNS_PER_TICKET: perTicket } = config;
  const deleteRun = async (runId: string) => {
    await store.housekeeping.deleteRun(runId);
    log.closeRun(runId);
  };
  const before = daysAgo(days);
  const oldRuns = () => store.housekeeping.oldRuns(before, BATCH_SIZE);
  const surplusRuns = () => store.housekeeping.surplusRuns(perTicket, BATCH_SIZE);
  const old = days === 0 ? 0 : await forEachBatch(oldRuns, deleteRun, closing);
  return perTicket === 0 ? old : old + (await forEachBatch(surplusRuns, deleteRun, closing));
}

async function deleteConversations({ config, store, agents, closing }: CleanUpDeps): Promise<number> {
  if (config.RETAIN_CONVERSATIONS_DAYS === 0) return 0;
  let deleted = 0;
  for (const ticketId of await store.housekeeping.idleTickets(daysAgo(config.RETAIN_CONVERSATIONS_DAYS))) {
    if (closing.aborted) break;
    if (await agents.deleteConversation(ticketId)) deleted += 1;
  }
  return deleted;
}

/** Parks old workspaces, and while disk space is low also younger ones, least recently used first. */
async function parkWorkspaces(deps: CleanUpDeps): Promise<Pick<CleanUp, 'parked' | 'kept'>> {
  const { config, store, workspaces, disk, closing } = deps;
  const days = config.RETAIN_WORKSPACES_DAYS;
  const old = days === 0 ? [] : await store.housekeeping.idleTickets(daysAgo(days));
  const parked: string[] = [];
  const kept: CleanUp['kept'] = [];
  const park = async (ticketId: string) => {
    const outcome = await parkWorkspace(deps, ticketId);
    if (outcome === 'parked') parked.push(ticketId);
    else if (outcome !== 'nothing to park') kept.push({ ticket_id: ticketId, reason: outcome.reason });
  };
  for (const ticketId of old) if (!closing.aborted) await park(ticketId);

  const done = new Set(old);
  const idle = await store.housekeeping.idleTickets(new Date(Date.now() - MIN_IDLE_MS).toISOString());
  for (const ticketId of idle.filter((id) => !done.has(id))) {
    await workspaces.maintenance.trashEmptied();
    if (closing.aborted || !(await disk.check()).low) break;
    await park(ticketId);
  }
  await store.housekeeping.recordKeptWorkspaces(kept);
  for (const ticketId of [...parked, ...kept.map(({ ticket_id }) => ticket_id)]) {
    store.changes.notify({ type: 'ticket', ticketKey: ticketKey(ticketId) });
  }
  return { parked, kept };
}

/** Parks a workspace, or returns and logs why it is kept. */
async function parkWorkspace(
  { store, workspaces, agents, logger }: CleanUpDeps,
  ticketId: string,
): Promise<'parked' | 'nothing to park' | { reason: string }> {
  const { maintenance } = workspaces;
  const isIdle = async () => {
    if ((await store.runs.listOpen(ticketId)).length > 0) return false;
    // An idle agent would keep using the removed folder.
    await agents.closeTicket(ticketId);
    return true;
  };
  try {
    if ((await workspaces.state(ticketId)) !== 'present') return 'nothing to park';
    const reason = await maintenance.park(ticketId, isIdle);
    logger.info({ ticket_id: ticketId, reason }, reason === undefined ? 'workspace parked' : 'workspace kept');
    return reason === undefined ? 'parked' : { reason };
  } catch (err) {
    logger.warn({ err, ticket_id: ticketId }, 'failed to park workspace');
    return { reason: toAppError(err).message };
  }
}

/** Processes batches until one is empty, and yields to other work after each item. Returns the number of items. */
async function forEachBatch(
  readBatch: () => Promise<string[]>,
  handle: (id: string) => Promise<void>,
  closing: AbortSignal,
): Promise<number> {
  let done = 0;
  for (;;) {
    const ids = await readBatch();
    if (ids.length === 0) return done;
    for (const id of ids) {
      if (closing.aborted) return done;
      await handle(id);
      await nextTurn();
      done += 1;
    }
  }
}

function daysAgo(days: number): string {
  return new Date(Date.now() - days * DAY_MS).toISOString();
}
