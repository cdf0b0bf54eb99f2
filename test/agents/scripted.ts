import { fileURLToPath } from 'node:url';
import type { AgentDefinition } from '../../src/agents/agent-definition.ts';
import type { Place } from '../../src/sandbox/types.ts';

const SCRIPT: Place = { host: fileURLToPath(new URL('scripted-agent.mjs', import.meta.url)), inside: '/opt/agent.mjs' };

/** A second agent takes no more than this. */
export function scripted(oddity = 'none'): AgentDefinition {
  return {
    name: 'scripted',
    title: 'Scripted agent',
    version: () => '1.0.0',
    check: async () => undefined,
    prepareLaunch: async ({ sandbox, workspace, conversation }) => ({
      argv: [sandbox.layout({ workspace, home: conversation }).node, sandbox.path(SCRIPT), oddity],
      mounts: [SCRIPT],
      home: { folder: conversation },
    }),
    prepareLoad: async () => true,
    promptText: (text) => text,
    isNoise: (line) => line.startsWith('noise'),
    classifyError: () => undefined,
  };
}
