import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EventDraft } from '../../schemas/event.ts';
import type { AgentDefinition, AgentMode } from '../../src/agents/agent-definition.ts';
import { type Agents, createAgents } from '../../src/agents/agents.ts';
import type { TurnListener } from '../../src/agents/turn/listener.ts';
import type { PromptRequest } from '../../src/agents/turn/run-turn.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { createSandbox } from '../../src/sandbox/sandbox.ts';
import { assignUid } from '../sandbox/fixtures.ts';

type PromptOptions = Partial<PromptRequest> & {
  onEvent?: (draft: EventDraft) => void;
  onSession?: (sessionId: string) => void;
  drained?: () => Promise<void>;
};

export type Owner = { teardown(task: () => unknown): unknown };

/** Creates the folders of a server and one workspace. Agents from `agents` close with the test. */
export async function makeWorld(t: Owner, files: Record<string, string> = {}) {
  const root = await mkdtemp(join(tmpdir(), 'pw-agents-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const workspace = join(root, 'tickets/T-1');
  for (const [name, content] of Object.entries({
    'README.md': '# Widgets\n',
    '.git': 'gitdir: /nowhere\n',
    ...files,
  })) {
    await mkdir(join(workspace, name, '..'), { recursive: true });
    await writeFile(join(workspace, name), content);
  }
  await assignUid(join(root, 'tickets'), workspace);
  const git = { dir: join(root, 'git'), mirror: join(root, 'mirror') };
  for (const folder of Object.values(git)) await mkdir(folder);

  return {
    workspace,
    chats: join(root, 'data/conversations/T-1/gemini/chats'),

    agents(settings: Record<string, string>, definitions?: readonly AgentDefinition[]): Agents {
      const folders = { DATA_DIR: join(root, 'data'), TICKETS_ROOT: join(root, 'tickets') };
      const config = loadConfig({ ...folders, ...settings }, join(root, 'no.env'));
      const sandbox = createSandbox({ config, parentEnv: process.env });
      const redactor = createRedactor([config.GEMINI_API_KEY, config.GITHUB_TOKEN]);
      const agents = createAgents({ config, sandbox, redactor, ...(definitions ? { definitions } : {}) });
      t.teardown(() => agents.close());
      return agents;
    },

    /** Sends one prompt. Returns its result, events and answer. */
    async prompt(agents: Agents, mode: AgentMode, text: string, options: PromptOptions = {}) {
      const { onEvent, onSession, drained, ...request } = options;
      const events: EventDraft[] = [];
      let continued = false;
      const listener: TurnListener = {
        notify(notification) {
          if (notification.type === 'session') onSession?.(notification.sessionId);
          if (notification.type !== 'event') return;
          events.push(notification.draft);
          onEvent?.(notification.draft);
        },
        ask: async () => 'reject',
        drained,
      };
      const fullRequest: PromptRequest = {
        ticketId: 'T-1',
        runId: 'R-1',
        agent: 'gemini',
        mode,
        workspace,
        git,
        text: (continues) => {
          continued = continues;
          return text;
        },
        limits: [],
        signal: new AbortController().signal,
        hints: {
          limitNear: () => 'Hint of the server: finish soon.',
          repeatedFailure: () => 'Hint of the server: try something else.',
        },
        ...request,
      };
      const result = await agents.prompt(fullRequest, listener);
      return { ...result, continued, events, answer: answerIn(events) };
    },
  };
}

/** Concatenates the messages of an agent. */
function answerIn(events: readonly EventDraft[]): string {
  return events.map((event) => (event.type === 'message.delta' ? event.data.text : '')).join('');
}
