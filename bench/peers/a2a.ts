import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readUntilFirstWord } from '../chats.ts';
import type { Lab } from '../lab.ts';
import { freePort, type Peer, waitUntilReachable } from './peer.ts';

/** Starts Google's server around the Gemini CLI: one process, no isolation, no persistence. https://a2a-protocol.org */
export async function startA2a(lab: Lab, modules: string, model: Record<string, string>): Promise<Peer> {
  const port = await freePort();
  const home = join(lab.dir, 'a2a');
  await mkdir(home);
  lab.background(process.execPath, [join(modules, '@google/gemini-cli-a2a-server/dist/a2a-server.mjs')], {
    cwd: home,
    env: {
      HOME: home,
      CODER_AGENT_PORT: port,
      CODER_AGENT_WORKSPACE_PATH: home,
      GEMINI_YOLO_MODE: 'true',
      ...model,
    },
  });
  const url = `http://127.0.0.1:${port}`;
  await waitUntilReachable(`${url}/.well-known/agent-card.json`);
  let ids: { taskId: string; contextId: string } | undefined;

  async function send(message: object): Promise<number> {
    const params = { message: { kind: 'message', role: 'user', messageId: randomUUID(), ...message } };
    const startedAt = performance.now();
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ jsonrpc: '2.0', id: randomUUID(), method: 'message/stream', params }),
    });
    const { elapsed, text } = await readUntilFirstWord(response.body, startedAt);
    const of = (name: string) => new RegExp(`"${name}":"([^"]+)"`).exec(text)?.[1] ?? '';
    ids = { taskId: of('taskId'), contextId: of('contextId') };
    return elapsed;
  }

  const parts = [{ kind: 'text', text: 'Say something.' }];
  return {
    async fresh() {
      const folder = join(home, randomUUID());
      await mkdir(folder);
      const coderAgent = { kind: 'agent-settings', workspacePath: folder };
      return send({ parts, metadata: { coderAgent } });
    },
    followUp: () => send({ parts, ...ids }),
  };
}
