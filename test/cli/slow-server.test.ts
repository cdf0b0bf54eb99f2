import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { pullwright } from '../helpers/command.ts';
import { listen } from '../helpers/listen.ts';
import { makeWorld, REPO } from '../helpers/server.ts';
import { wrapGit } from '../helpers/wrap-git.ts';

const dir = t.testdir({});

// `fetch` fails when no response starts within five minutes. This module makes it fail at once for a POST.
// git waits at the gate during a fetch, until the command polls the ticket.
const [shortTimeout, gate] = [join(dir, 'short-timeout.mjs'), join(dir, 'gate')];
writeFileSync(
  shortTimeout,
  `import { existsSync, writeFile } from 'node:fs';
  await fetch('data:,');
  const gate = ${JSON.stringify(gate)};
  const key = Symbol.for('undici.globalDispatcher.1');
  const Agent = globalThis[key].constructor;
  globalThis[key] = new (class extends Agent {
    dispatch(options, handler) {
      if (options.path === '/v1/tickets/OWN-1' && existsSync(gate)) writeFile(gate, 'open', () => {});
      return super.dispatch({ ...options, headersTimeout: options.method === 'POST' ? 1 : 0 }, handler);
    }
  })();`,
);
const NODE_OPTIONS = `--import ${pathToFileURL(shortTimeout)}`;
const ticket = { ticket_id: 'SLOW-1', repo_url: REPO, branch: 'ticket_SLOW-1', base_branch: 'main' };

/** Creates a server that never answers a POST. Each GET of the ticket returns the next state, then 404. */
function slowServer(...states: string[]) {
  return createServer((request, response) => {
    if (request.method === 'POST') return;
    const state = states.shift();
    response.writeHead(state === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(state === undefined ? { code: 'ticket_not_found', detail: 'None.' } : { ...ticket, state }),
    );
  });
}

t.test('`ticket create` waits for a creation that takes longer than a request', async (t) => {
  const create = ['ticket', 'create', 'SLOW-1', REPO];
  const made = { PULLWRIGHT_URL: await listen(t, slowServer('creating', 'creating', 'ready')), NODE_OPTIONS };
  t.match(await pullwright(t, { dir }, create, { env: made }), {
    code: 0,
    stdout: 'SLOW-1\n',
    stderr: /^Checked out on branch ticket_SLOW-1/,
  });
  const failed = { PULLWRIGHT_URL: await listen(t, slowServer('creating')), NODE_OPTIONS };
  t.match(await pullwright(t, { dir }, create, { env: failed }), {
    code: 1,
    stdout: '',
    stderr: /^SLOW-1 was not created/,
  });
});

t.test('`ticket create` waits as well when it starts the server itself', async (t) => {
  const world = await makeWorld(t);
  const { PORT: _, ...settings } = world.env;
  const lines = Object.entries({ ...settings, PORT: '1' }).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(world.dir, '.env'), lines.join(''));
  const slow = `case "$*" in *fetch*|*clone*) [ -p '${gate}' ] && cat '${gate}' >&2 && rm '${gate}' ;; esac`;
  execFileSync('mkfifo', [gate]);
  const env = { ...settings, NODE_OPTIONS, PATH: await wrapGit(join(dir, 'bin'), slow) };
  const created = await pullwright(t, world, ['ticket', 'create', 'OWN-1', REPO], { env });
  t.notOk(existsSync(gate), 'the command polled the ticket during its creation');
  t.match(created, { code: 0, stdout: 'OWN-1\n', stderr: /starting one[\s\S]*Checked out on branch ticket_OWN-1/ });
});

t.test('a command distinguishes a slow server from an unreachable one', async (t) => {
  const PULLWRIGHT_URL = await listen(t, slowServer());
  const synced = await pullwright(t, { dir }, ['ticket', 'sync', 'SLOW-1'], { env: { PULLWRIGHT_URL, NODE_OPTIONS } });
  t.match(synced, { code: 1, stderr: /^The server at http:\S+ has not answered for five minutes/ });
  const cut = createServer((request) => request.socket.destroy());
  const lost = await pullwright(t, { dir }, ['runs'], { env: { PULLWRIGHT_URL: await listen(t, cut) } });
  t.match(lost, { code: 1, stderr: /^The connection to http:\S+ failed: / });
});
