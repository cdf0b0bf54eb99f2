import { fileURLToPath } from 'node:url';
import type { AgentDefinition } from '../../src/agents/agent-definition.ts';
import type { Mount } from '../../src/sandbox/types.ts';

const SCRIPT: Mount = { host: fileURLToPath(new URL('scripted-agent.mjs', import.meta.url)), inside: '/opt/agent.mjs' };

/** Defines an agent that runs the script in its prompt. @param fault see scripted-agent.mjs */
export function scripted(fault = 'none'): AgentDefinition {
  return {
    name: 'scripted',
    title: 'Scripted agent',
    version: () => '1.0.0',
    check: async () => undefined,
    prepareLaunch: async ({ sandbox, workspace, conversation }) => ({
      argv: [sandbox.layout({ workspace, home: conversation }).node, sandbox.path(SCRIPT), fault],
      mounts: [SCRIPT],
      home: { folder: conversation },
    }),
    prepareLoad: async () => true,
    promptText: (text) => text,
    isNoise: (line) => line.startsWith('noise'),
    classifyError: () => undefined,
  };
}

/** Edits of the server (test/attacks/remove-defences.ts) that replace Gemini CLI by the scripted agent; the message of a person is its script. */
export const SCRIPTED_GEMINI = [
  {
    file: 'src/agents/gemini/gemini.ts',
    from: "argv: [node, join(sandbox.path(agent), 'bundle/gemini.js'), '--acp', ...admin]",
    to: "argv: [node, '/opt/agent.mjs', 'none', ...admin]",
  },
  {
    file: 'src/agents/gemini/gemini.ts',
    from: 'mounts: [agent, ...places]',
    to: `mounts: [agent, ...places, ${JSON.stringify(SCRIPT)}]`,
  },
];
