import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { closeServer, listenOnPort } from '../../standins/loopback.ts';
import { untilWord, WORDS } from '../chats.ts';
import type { Lab } from '../lab.ts';
import { answers, freePort, type Peer } from './peer.ts';

/** `opencode serve`, with a model that speaks the API it asks for: one process for all, without walls. https://opencode.ai/docs/server/ */
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
  await answers(`${url}/doc`);
  let folders = 0;
  let last: { folder: string; session: string } | undefined;

  const post = (path: string, folder: string, body: object) =>
    fetch(`${url}${path}?${new URLSearchParams({ directory: folder })}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  async function send(begun: number, { folder, session }: { folder: string; session: string }): Promise<number> {
    const leave = new AbortController();
    const events = await fetch(`${url}/event?${new URLSearchParams({ directory: folder })}`, { signal: leave.signal });
    const request = { parts: [{ type: 'text', text: 'Say something.' }] };
    const [{ took }] = await Promise.all([
      untilWord(events.body, begun, (text) => text.includes('"session.idle"')),
      post(`/session/${session}/prompt_async`, folder, request),
    ]);
    leave.abort();
    return took;
  }

  return {
    async fresh() {
      const folder = join(home, `w${folders++}`);
      await mkdir(folder);
      const begun = performance.now();
      const made = await (await post('/session', folder, {})).text();
      last = { folder, session: /"id":"(ses_\w+)"/.exec(made)?.[1] ?? '' };
      return send(begun, last);
    },
    async followUp() {
      if (last === undefined) throw new Error('there is no conversation yet');
      return send(performance.now(), last);
    },
  };
}

/** The Chat Completions API of a model that says the same each time. */
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
