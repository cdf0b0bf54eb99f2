import { fileURLToPath } from 'node:url';
import type { AgentDefinition } from '../src/agents/agent-definition.ts';
import type { Mount } from '../src/sandbox/types.ts';

export const SCRIPT: Mount = { host: fileURLToPath(new URL('agent.mjs', import.meta.url)), inside: '/opt/agent.mjs' };

/** How the agent of the bench is started; what it says is in the prompt. */
export const definition: AgentDefinition = {
  name: 'bench',
  title: 'Agent of the bench',
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
 * What the agent does with a prompt: after `delayMs`, `count` updates of `bytes`, one each `everyMs` or all at once. Each
 * holds `@TIME@`, the nanoseconds of the machine's clock when it was sent. `text` comes as deltas, `tool` as updates of a
 * tool, which are never joined. Then it waits for `holdMs`.
 */
export type Order = {
  kind: 'text' | 'tool';
  delayMs: number;
  count: number;
  bytes: number;
  everyMs: number;
  holdMs?: number;
};

export function promptOf(order: Order): string {
  return `<<<${JSON.stringify(order)}>>>`;
}
