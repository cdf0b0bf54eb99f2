import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../../config/logger.ts';
import type { Layout } from '../../files/layout.ts';
import type { StartedAgent } from './launch-agent.ts';

/** Pause after a start that failed; doubled each time. */
const RETRY_MS = 1000;
const LONGEST_RETRY_MS = 300_000;

/** An agent that waits in a sandbox around two empty folders, one to become a workspace, one its conversation. */
export type Spare = { agent: StartedAgent; workspace: string; conversation: string };

export type Spares = ReturnType<typeof createSpares>;

/**
 * Readers that wait, initialised, for tickets that do not exist yet. A folder that is mounted into a sandbox stays mounted
 * when it is renamed: so the folders of a spare become those of a ticket, and no ticket ever sees those of another.
 * @param deps.start starts a reader in the folders; it is in no hurry
 * @param deps.hasRoom whether there is memory for one more
 */
export function createSpares(deps: {
  wanted: number;
  layout: Layout;
  logger: Logger | undefined;
  start(place: Omit<Spare, 'agent'>, signal: AbortSignal): Promise<StartedAgent>;
  hasRoom(): Promise<boolean>;
  /** Removes a folder that the agent could write. */
  removeFolder(folder: string): Promise<unknown>;
}) {
  const { wanted, layout, logger, start, hasRoom, removeFolder } = deps;
  const closing = new AbortController();
  const ready = new Set<Spare>();
  let filling: Promise<void> | undefined;

  /** Ends one; nothing where it has been taken, since all that was its own belongs to a ticket then. */
  function discard(spare: Spare): Promise<void> | undefined {
    return ready.delete(spare) ? remove(spare) : undefined;
  }

  async function remove(spare: Spare): Promise<void> {
    await spare.agent.close();
    await removeFolders(spare);
  }

  async function removeFolders({ workspace, conversation }: Omit<Spare, 'agent'>): Promise<void> {
    for (const folder of [workspace, conversation]) await removeFolder(folder);
  }

  async function add(): Promise<void> {
    // Both are cleared when the server starts.
    const name = `spare-${randomUUID()}`;
    const place = { workspace: join(layout.tickets.staging, name), conversation: join(layout.data.tmp, name) };
    await mkdir(place.workspace, { mode: 0o700 });
    const begun = performance.now();
    const agent = await start(place, closing.signal).catch(async (error) => {
      await removeFolders(place);
      throw error;
    });
    const spare = { agent, ...place };
    const fields = { agent: agent.definition.name, pid: agent.process.pid };
    logger?.info({ ...fields, duration_ms: Math.round(performance.now() - begun) }, 'spare agent ready');
    ready.add(spare);
    void agent.process.exited.then(async (exit) => {
      const discarded = discard(spare);
      if (!discarded) return;
      logger?.warn({ ...fields, ...exit }, 'spare agent ended');
      await discarded;
      fill();
    });
  }

  async function addMissing(): Promise<void> {
    let retry = RETRY_MS;
    while (!closing.signal.aborted && ready.size < wanted && (await hasRoom())) {
      try {
        await add();
        retry = RETRY_MS;
      } catch (err) {
        if (closing.signal.aborted) return;
        logger?.warn({ err, retry_ms: retry }, 'a spare agent could not be started');
        await pause(retry, undefined, { signal: closing.signal, ref: false }).catch(() => {});
        retry = Math.min(2 * retry, LONGEST_RETRY_MS);
      }
    }
  }

  /** Sees to it that there are as many as wanted, in the background. */
  function fill(): void {
    filling ??= addMissing()
      .catch((err) => logger?.error({ err }, 'spare agents are not looked after'))
      .finally(() => {
        filling = undefined;
      });
  }

  return {
    fill,
    discard,
    all: (): readonly Spare[] => [...ready],

    /**
     * Takes one that suits; its conversation becomes the folder `conversation`.
     * @returns undefined when there is none, or that folder is not free
     */
    take(suits: (agent: StartedAgent) => boolean, conversation: string): Spare | undefined {
      const spare = [...ready].find(({ agent }) => suits(agent));
      if (spare === undefined) return undefined;
      // Not to be interrupted: two tickets must never take the same.
      try {
        mkdirSync(dirname(conversation), { recursive: true, mode: 0o700 });
        renameSync(spare.conversation, conversation);
      } catch (err) {
        logger?.warn({ err }, 'a spare agent was not used: the ticket has a conversation already');
        return undefined;
      }
      ready.delete(spare);
      return { ...spare, conversation };
    },

    /** Ends them all; none is added any more. */
    async close(): Promise<void> {
      closing.abort(new Error('The server is stopping.'));
      await filling;
      await Promise.all([...ready].map(discard));
    },
  };
}
