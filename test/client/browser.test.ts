import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { build } from 'vite';
import type { createClient } from '../../client/client.ts';
import { sampleScripts } from '../../standins/sample-ticket.ts';
import { browse } from '../helpers/browser.ts';
import { ADMIN_KEY } from '../helpers/keys.ts';
import { listen } from '../helpers/listen.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

/** Bundles the client for browsers and asserts that it imports nothing of Node. */
async function bundle(): Promise<string> {
  const missing: string[] = [];
  const result = await build({
    configFile: false,
    logLevel: 'silent',
    plugins: [
      {
        name: 'no-node',
        enforce: 'pre',
        resolveId(id) {
          if (id.startsWith('node:')) missing.push(id);
        },
      },
    ],
    build: {
      write: false,
      minify: false,
      lib: {
        entry: fileURLToPath(new URL('../../client/client.ts', import.meta.url)),
        formats: ['es'],
        fileName: 'client',
      },
    },
  });
  t.same(missing, [], 'nothing of Node is imported');
  const [made] = Array.isArray(result) ? result : [result];
  const [chunk] = made !== undefined && 'output' in made ? made.output : [];
  if (chunk?.type !== 'chunk') throw new Error('the build has no chunk');
  return chunk.code;
}

t.test('the client works in a page of another origin', async (t) => {
  const script = await bundle();
  const pages = createServer((request, response) => {
    const isScript = request.url === '/client.js';
    response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html' });
    response.end(isScript ? script : '<!doctype html><title>a page</title>');
  });
  const origin = await listen(t, pages);

  const world = await makeWorld(t);
  world.gemini.script(sampleScripts);
  const server = await startServer(t, world, { API_KEY: ADMIN_KEY, CORS_ORIGINS: origin });
  const { page, faults } = await browse(t, origin);
  await page.goto('/');
  const answer = await page.evaluate(
    async ({ baseUrl, apiKey, repo_url }) => {
      const path = '/client.js';
      const client: ReturnType<typeof createClient> = (await import(path)).createClient({ baseUrl, apiKey });
      await client.POST('/v1/tickets', { body: { ticket_id: 'REL-123', repo_url } });
      const { data } = await client.POST('/v1/tickets/{ticket_id}/runs', {
        params: { path: { ticket_id: 'REL-123' } },
        body: { action: 'chat', message: 'Where?' },
      });
      let text = '';
      for await (const event of client.runs.stream(data?.run_id ?? '')) {
        if (event.type === 'message.delta') text += event.data.text;
      }
      return text;
    },
    { baseUrl: server.url, apiKey: ADMIN_KEY, repo_url: REPO },
  );
  t.match(answer, /It comes from `format`/);
  t.same(
    faults.filter((fault) => !fault.startsWith(`request: ${server.url}/`)),
    [],
  );
});
