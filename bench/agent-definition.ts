import { fileURLToPath } from 'node:url';
import type { AgentDefinition } from '../src/agents/agent-definition.ts';
import type { Mount } from '../src/sandbox/types.ts';

export const SCRIPT: Mount = { host: fileURLToPath(new URL('agent.mjs', import.meta.url)), inside: '/opt/agent.mjs' };

/** The agent of the benchmarks, which performs the task in its prompt. */
export const definition: AgentDefinition = {
  name: 'bench',
  title: 'Benchmark agent',
  version: () => '1.0.0',
  check: async () => undefined,
  prepareLaunch: async ({ sandbox, workspace, conversation }) => ({
    argv: [sandbox.layout({ workspace, home: conversation }).node, sandbox.path(SCRIPT)],
    mounts: [SCRIPT],
    home: { folder: conversation },
  }),
  prepareLoad: async () => true,
  promptText: (text) => text,
  isNoise: () => false,
  classifyError: () => undefined,
};

/**
 * A task of the agent: after `delayMs`, send `count` updates of `bytes`, one every `everyMs` or all at once (0), then wait
 * `holdMs`. Each update contains `@TIME@`, its sending time in nanoseconds of the monotonic clock. `text` sends message
 * deltas; `tool` sends tool updates, which the server never joins.
 */
export type AgentTask = {
  kind: 'text' | 'tool';
  delayMs: number;
  count: number;
  bytes: number;
  everyMs: number;
  holdMs?: number;
};

export function promptOf(task: AgentTask): string {
  return `<<<${JSON.stringify(task)}>>>`;
}
