import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../../config/logger.ts';
import type { Layout } from '../../files/layout.ts';
import type { StartedAgent } from './launch-agent.ts';

/** Pause after a failed start; doubles each time. */
const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 300_000;

/** Two empty folders: one becomes a workspace, the other its conversation. */
export type SpareFolders = { workspace: string; conversation: string };
export type SpareAgent = SpareFolders & { agent: StartedAgent };

export type SpareAgents = ReturnType<typeof createSpareAgents>;

/**
 * Holds initialised readers for tickets that do not exist yet, each in a sandbox around two empty folders. A renamed folder stays
 * mounted, so these folders become those of a ticket. No ticket sees the folders of another.
 * @param deps.start starts a reader in the folders, in the background
 * @param deps.hasRoom whether there is memory for one more
 * @param deps.removeFolder removes a folder that an agent could write
 */
export function createSpareAgents(deps: {
  wanted: number;
  layout: Layout;
  logger: Logger | undefined;
  start(folders: SpareFolders, signal: AbortSignal): Promise<StartedAgent>;
  hasRoom(): Promise<boolean>;
  removeFolder(folder: string): Promise<unknown>;
}) {
  const { wanted, layout, logger, start, hasRoom, removeFolder } = deps;
  const closing = new AbortController();
  const ready = new Set<SpareAgent>();
  let filling: Promise<void> | undefined;

  /** Closes a spare agent; undefined when a ticket has claimed it. */
  function evict(spare: SpareAgent): Promise<void> | undefined {
    return ready.delete(spare) ? remove(spare) : undefined;
  }

  async function remove(spare: SpareAgent): Promise<void> {
    await spare.agent.close();
    await removeFolders(spare);
  }

  async function removeFolders({ workspace, conversation }: SpareFolders): Promise<void> {
    for (const folder of [workspace, conversation]) await removeFolder(folder);
  }

  async function add(): Promise<void> {
    // The server clears both parent folders when it starts.
    const name = `spare-${randomUUID()}`;
    const folders = { workspace: join(layout.tickets.staging, name), conversation: join(layout.data.tmp, name) };
    await mkdir(folders.workspace, { mode: 0o700 });
    const startedAt = performance.now();
    const agent = await start(folders, closing.signal).catch(async (error) => {
      await removeFolders(folders);
      throw error;
    });
    const spare = { agent, ...folders };
    const fields = { agent: agent.definition.name, pid: agent.process.pid };
    logger?.info({ ...fields, duration_ms: Math.round(performance.now() - startedAt) }, 'spare agent ready');
    ready.add(spare);
    void agent.process.exited.then(async (exit) => {
      const evicted = evict(spare);
      if (!evicted) return;
      logger?.warn({ ...fields, ...exit }, 'spare agent exited');
      await evicted;
      fill();
    });
  }

  async function addMissing(): Promise<void> {
    let retryMs = MIN_RETRY_MS;
    while (!closing.signal.aborted && ready.size < wanted && (await hasRoom())) {
      try {
        await add();
        retryMs = MIN_RETRY_MS;
      } catch (err) {
        if (closing.signal.aborted) return;
        logger?.warn({ err, retry_ms: retryMs }, 'failed to start spare agent');
        await pause(retryMs, undefined, { signal: closing.signal, ref: false }).catch(() => {});
        retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
      }
    }
  }

  /** Starts missing spare agents in the background. */
  function fill(): void {
    filling ??= addMissing()
      .catch((err) => logger?.error({ err }, 'failed to refill spare agents'))
      .finally(() => {
        filling = undefined;
      });
  }

  return {
    fill,
    evict,
    all: (): readonly SpareAgent[] => [...ready],

    /**
     * Takes a spare agent, and renames its conversation to the folder `conversation`.
     * @returns undefined when none matches, or the folder exists
     */
    claim(isMatch: (agent: StartedAgent) => boolean, conversation: string): SpareAgent | undefined {
      const spare = [...ready].find(({ agent }) => isMatch(agent));
      if (spare === undefined) return undefined;
      // Synchronous, so that two tickets never claim the same one.
      try {
        mkdirSync(dirname(conversation), { recursive: true, mode: 0o700 });
        renameSync(spare.conversation, conversation);
      } catch (err) {
        logger?.warn({ err }, 'spare agent not claimed: the ticket already has a conversation');
        return undefined;
      }
      ready.delete(spare);
      return { ...spare, conversation };
    },

    async close(): Promise<void> {
      closing.abort(new Error('The server is stopping.'));
      await filling;
      await Promise.all([...ready].map(evict));
    },
  };
}
