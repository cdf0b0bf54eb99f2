import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { closeServer, listenOnPort } from '../../standins/loopback.ts';
import { readUntilFirstWord, WORDS } from '../chats.ts';
import type { Lab } from '../lab.ts';
import { freePort, type Peer, waitUntilReachable } from './peer.ts';

/** Starts `opencode serve` with a stand-in model: one process, no isolation. https://opencode.ai/docs/server/ */
export async function startOpencode(lab: Lab, modules: string): Promise<Peer> {
  const model = await startChatModel(lab);
  const port = await freePort();
  const home = join(lab.dir, 'opencode');
  await mkdir(home);
  const provider = {
    npm: '@ai-sdk/openai-compatible',
    options: { baseURL: `${model}/v1`, apiKey: 'none' },
    models: { still: {} },
  };
  const settings = {
    provider: { bench: provider },
    model: 'bench/still',
    small_model: 'bench/still',
    share: 'disabled',
  };
  await writeFile(join(home, 'opencode.json'), JSON.stringify({ ...settings, autoupdate: false }));
  lab.background(
    join(modules, `opencode-linux-${process.arch}/bin/opencode`),
    ['serve', '--port', port, '--hostname', '127.0.0.1'],
    {
      cwd: home,
      env: { HOME: home, OPENCODE_CONFIG: join(home, 'opencode.json'), OPENCODE_DISABLE_LSP_DOWNLOAD: 'true' },
    },
  );
  const url = `http://127.0.0.1:${port}`;
  await waitUntilReachable(`${url}/doc`);
  let folders = 0;
  let last: { folder: string; session: string } | undefined;

  const post = (path: string, folder: string, body: object) =>
    fetch(`${url}${path}?${new URLSearchParams({ directory: folder })}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  async function send(startedAt: number, { folder, session }: { folder: string; session: string }): Promise<number> {
    const disconnect = new AbortController();
    const events = await fetch(`${url}/event?${new URLSearchParams({ directory: folder })}`, {
      signal: disconnect.signal,
    });
    const request = { parts: [{ type: 'text', text: 'Say something.' }] };
    const [{ elapsed }] = await Promise.all([
      readUntilFirstWord(events.body, startedAt, (text) => text.includes('"session.idle"')),
      post(`/session/${session}/prompt_async`, folder, request),
    ]);
    disconnect.abort();
    return elapsed;
  }

  return {
    async fresh() {
      const folder = join(home, `w${folders++}`);
      await mkdir(folder);
      const startedAt = performance.now();
      const made = await (await post('/session', folder, {})).text();
      last = { folder, session: /"id":"(ses_\w+)"/.exec(made)?.[1] ?? '' };
      return send(startedAt, last);
    },
    async followUp() {
      if (last === undefined) throw new Error('no conversation exists yet');
      return send(performance.now(), last);
    },
  };
}

/** Starts a Chat Completions API with a constant answer. */
async function startChatModel(lab: Lab): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const [index, content] of WORDS.entries()) {
        const delta = index === 0 ? { role: 'assistant', content } : { content };
        response.write(
          `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'still', choices: [{ index: 0, delta }] })}\n\n`,
        );
      }
      const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
      response.write(
        `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'still', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage })}\n\n`,
      );
      response.end('data: [DONE]\n\n');
    });
  });
  lab.teardown(() => closeServer(server));
  return listenOnPort(server);
}
