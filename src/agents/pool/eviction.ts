import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../../config/load-config.ts';
import type { Logger } from '../../config/logger.ts';
import { memoryOf } from '../../sandbox/processes/process-memory.ts';
import type { StartedAgent } from './launch-agent.ts';

/** How often idle agents are looked after, and how long one may take to answer, in milliseconds. */
const LOOK_MS = 10_000;
const ANSWER_MS = 5000;

const MIB = 1024 * 1024;
/** What a spare takes as a rule; counts until one was weighed. */
const USUAL_SPARE = 200 * MIB;

/** An agent that nobody waits for. */
export type IdleAgent = {
  agent: StartedAgent;
  /** A time of `Date.now()`. */
  usedAt: number;
  /** Ends it; undefined when it has been taken meanwhile. */
  stop(): Promise<void> | undefined;
};

/**
 * Keeps the agents within their number and memory, and ends idle ones that are of no use any more.
 * @param deps.all all agents
 * @param deps.idle those of tickets that nobody waits for
 * @param deps.spares those of no ticket
 * @param deps.isOutdated whether another version is installed now
 * @param deps.refill called after each look
 */
export function createPoolCare(deps: {
  config: Pick<Config, 'AGENT_POOL_SIZE' | 'AGENT_POOL_MEMORY_MB'>;
  logger: Logger | undefined;
  all(): StartedAgent[];
  idle(): IdleAgent[];
  spares(): IdleAgent[];
  isOutdated(agent: StartedAgent): boolean;
  refill(): void;
}) {
  const { config, logger, all, idle, spares, isOutdated, refill } = deps;
  const memoryLimit = config.AGENT_POOL_MEMORY_MB * MIB;
  /** Of the spares so far, in bytes. */
  let largest = 0;
  let tooSmall = false;
  /** How many agents there were when their memory was last looked at. */
  let weighed = 0;
  let last: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  const oldestFirst = () => idle().sort((a, b) => a.usedAt - b.usedAt);

  async function stop({ agent, stop: end }: IdleAgent, why: string): Promise<void> {
    const ended = end();
    if (!ended) return;
    logger?.info({ agent: agent.definition.name, pid: agent.process.pid, why }, 'idle agent is ended');
    await ended;
  }

  /** In bytes. */
  async function memory(): Promise<number> {
    const waiting = new Set(spares().map(({ agent }) => agent));
    const weigh = async (agent: StartedAgent) => {
      const size = await memoryOf(agent.process.pid);
      if (waiting.has(agent)) largest = Math.max(largest, size);
      return size;
    };
    const sizes = await Promise.all(all().map(weigh));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Whether there is memory for one more spare, so that none is started at the cost of others, or to be ended at once. */
  async function hasRoom(): Promise<boolean> {
    const taken = await memory();
    const size = largest || USUAL_SPARE;
    if (size > memoryLimit && !tooSmall) {
      tooSmall = true;
      const fields = { limit_mb: config.AGENT_POOL_MEMORY_MB, spare_mb: Math.ceil(size / MIB) };
      logger?.warn(fields, 'AGENT_POOL_MEMORY_MB is less than a spare agent takes: there will be none');
    }
    return taken + size <= memoryLimit;
  }

  async function trimNow(): Promise<void> {
    const kept = oldestFirst();
    for (const surplus of kept.slice(0, Math.max(0, kept.length - config.AGENT_POOL_SIZE))) {
      await stop(surplus, 'AGENT_POOL_SIZE');
    }
    // To weigh an agent takes the kernel milliseconds: not after each command, but when there are more of them.
    if (all().length > weighed) await trimMemory();
    weighed = Math.min(weighed, all().length);
  }

  async function trimMemory(): Promise<void> {
    weighed = all().length;
    // One that was taken meanwhile stays: each is tried once.
    for (const one of [...oldestFirst(), ...spares()]) {
      if ((await memory()) <= memoryLimit) return;
      await stop(one, 'AGENT_POOL_MEMORY_MB');
    }
  }

  async function lookNow(): Promise<void> {
    await Promise.all(
      [...idle(), ...spares()].map(async (one) => {
        if (isOutdated(one.agent)) await stop(one, 'another version is installed');
        else if (!(await answers(one.agent))) await stop(one, 'it does not answer');
      }),
    );
    await trimNow();
    await trimMemory();
    refill();
  }

  /** One after the other: each sees what the one before it left. */
  function inTurn(work: () => Promise<void>): Promise<void> {
    last = last.then(work).catch((err) => logger?.error({ err }, 'idle agents were not looked after'));
    return last;
  }

  function lookLater(): void {
    timer = setTimeout(() => void inTurn(lookNow).then(() => timer && lookLater()), LOOK_MS).unref();
  }

  return {
    memory,
    hasRoom,
    start: lookLater,

    /** Ends what is too much, the longest unused first and spares last; never what is at work. */
    trim: () => inTurn(trimNow),

    async close(): Promise<void> {
      clearTimeout(timer);
      timer = undefined;
      await last;
    },
  };
}

async function answers(agent: StartedAgent): Promise<boolean> {
  const late = pause(ANSWER_MS, false, { ref: false });
  const answered = agent.answers().then(
    () => true,
    () => false,
  );
  return Promise.race([answered, late]);
}
