import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../../config/load-config.ts';
import type { Logger } from '../../config/logger.ts';
import { memoryOf } from '../../sandbox/processes/process-memory.ts';
import type { StartedAgent } from './launch-agent.ts';
import { isCurrent } from './reuse.ts';

const SWEEP_INTERVAL_MS = 10_000;
const PING_TIMEOUT_MS = 5000;

const MIB = 1024 * 1024;
/** Assumed until a spare agent has been measured. */
const DEFAULT_SPARE_BYTES = 200 * MIB;

/** An agent that no run and no ticket waits for. */
export type IdleAgent = {
  agent: StartedAgent;
  /** Time of the last use, in milliseconds since the epoch. */
  usedAt: number;
  /** Closes the agent; returns undefined when the agent is no longer idle. */
  evict(): Promise<void> | undefined;
};

/**
 * Creates the eviction of idle agents. It closes agents above the limits of number and memory, outdated and unresponsive agents.
 * @param deps.all all agents
 * @param deps.idle idle ticket agents, and prestarted writers
 * @param deps.refillSpares called after each sweep
 */
export function createEviction(deps: {
  config: Pick<Config, 'AGENT_POOL_SIZE' | 'AGENT_POOL_MEMORY_MB'>;
  logger: Logger | undefined;
  all(): StartedAgent[];
  idle(): IdleAgent[];
  spares(): IdleAgent[];
  refillSpares(): void;
}) {
  const { config, logger, all, idle, spares, refillSpares } = deps;
  const memoryLimit = config.AGENT_POOL_MEMORY_MB * MIB;
  let largestSpare = 0;
  let hasWarned = false;
  /** Number of agents when their memory was last measured. */
  let measured = 0;
  let last: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  const oldestFirst = () => idle().sort((a, b) => a.usedAt - b.usedAt);

  async function evict({ agent, evict }: IdleAgent, reason: string): Promise<void> {
    const evicted = evict();
    if (!evicted) return;
    logger?.info({ agent: agent.definition.name, pid: agent.process.pid, reason }, 'idle agent evicted');
    await evicted;
  }

  /** Returns the memory of all agents in bytes. */
  async function measureMemory(): Promise<number> {
    const waiting = new Set(spares().map(({ agent }) => agent));
    const measure = async (agent: StartedAgent) => {
      const size = await memoryOf(agent.process.pid);
      if (waiting.has(agent)) largestSpare = Math.max(largestSpare, size);
      return size;
    };
    const sizes = await Promise.all(all().map(measure));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Returns whether one more spare fits, so that it evicts no other agent and stays itself. */
  async function hasRoom(): Promise<boolean> {
    const taken = await measureMemory();
    const size = largestSpare || DEFAULT_SPARE_BYTES;
    if (size > memoryLimit && !hasWarned) {
      hasWarned = true;
      const fields = { limit_mb: config.AGENT_POOL_MEMORY_MB, spare_mb: Math.ceil(size / MIB) };
      logger?.warn(fields, 'AGENT_POOL_MEMORY_MB is too small for a spare agent');
    }
    return taken + size <= memoryLimit;
  }

  async function trim(): Promise<void> {
    const kept = oldestFirst();
    for (const surplus of kept.slice(0, Math.max(0, kept.length - config.AGENT_POOL_SIZE))) {
      await evict(surplus, 'AGENT_POOL_SIZE');
    }
    // A measurement takes the kernel milliseconds an agent. So the pool measures when the number grows, not after each command.
    if (all().length > measured) await trimMemory();
    measured = Math.min(measured, all().length);
  }

  async function trimMemory(): Promise<void> {
    measured = all().length;
    for (const agent of [...oldestFirst(), ...spares()]) {
      if ((await measureMemory()) <= memoryLimit) return;
      await evict(agent, 'AGENT_POOL_MEMORY_MB');
    }
  }

  async function sweep(): Promise<void> {
    await Promise.all(
      [...idle(), ...spares()].map(async (entry) => {
        if (!isCurrent(entry.agent)) await evict(entry, 'outdated version');
        else if (!(await isResponsive(entry.agent))) await evict(entry, 'unresponsive');
      }),
    );
    await trim();
    await trimMemory();
    refillSpares();
  }

  /** Runs tasks one at a time, since each depends on the agents that the previous task left. */
  function enqueue(task: () => Promise<void>): Promise<void> {
    last = last.then(task).catch((err) => logger?.error({ err }, 'failed to evict idle agents'));
    return last;
  }

  function scheduleSweep(): void {
    timer = setTimeout(() => void enqueue(sweep).then(() => timer && scheduleSweep()), SWEEP_INTERVAL_MS).unref();
  }

  return {
    measureMemory,
    hasRoom,
    start: scheduleSweep,

    /** Evicts idle agents above the limits: least recently used first, spares last. */
    trim: () => enqueue(trim),

    async close(): Promise<void> {
      clearTimeout(timer);
      timer = undefined;
      await last;
    },
  };
}

async function isResponsive(agent: StartedAgent): Promise<boolean> {
  const timeout = pause(PING_TIMEOUT_MS, false, { ref: false });
  const answered = agent.ping().then(
    () => true,
    () => false,
  );
  return Promise.race([answered, timeout]);
}
