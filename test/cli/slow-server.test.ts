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

// `fetch` gives up when no answer has begun after five minutes. Here it does so at once, for requests that change something.
// A git that fetches waits at the gate, until the ticket is looked at.
const [impatient, gate] = [join(dir, 'impatient.mjs'), join(dir, 'gate')];
writeFileSync(
  impatient,
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
const NODE_OPTIONS = `--import ${pathToFileURL(impatient)}`;
const ticket = { ticket_id: 'SLOW-1', repo_url: REPO, branch: 'ticket_SLOW-1', base_branch: 'main' };

/** A server that never answers what changes something; asked for the ticket, it tells one state after the other, and then of none. */
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

t.test('a ticket whose creation takes longer than a request may is waited for', async (t) => {
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

t.test('so is one that a server of this command creates', async (t) => {
  const world = await makeWorld(t);
  const { PORT: _, ...settings } = world.env;
  const lines = Object.entries({ ...settings, PORT: '1' }).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(world.dir, '.env'), lines.join(''));
  const slow = `case "$*" in *fetch*|*clone*) [ -p '${gate}' ] && cat '${gate}' >&2 && rm '${gate}' ;; esac`;
  execFileSync('mkfifo', [gate]);
  const env = { ...settings, NODE_OPTIONS, PATH: await wrapGit(join(dir, 'bin'), slow) };
  const created = await pullwright(t, world, ['ticket', 'create', 'OWN-1', REPO], { env });
  t.notOk(existsSync(gate), 'it was created while its ticket was looked at');
  t.match(created, { code: 0, stdout: 'OWN-1\n', stderr: /starting one[\s\S]*Checked out on branch ticket_OWN-1/ });
});

t.test('a server that is late is not taken for one that is not there', async (t) => {
  const PULLWRIGHT_URL = await listen(t, slowServer());
  const synced = await pullwright(t, { dir }, ['ticket', 'sync', 'SLOW-1'], { env: { PULLWRIGHT_URL, NODE_OPTIONS } });
  t.match(synced, { code: 1, stderr: /^The server at http:\S+ has not answered for five minutes/ });
  const cut = createServer((request) => request.socket.destroy());
  const lost = await pullwright(t, { dir }, ['runs'], { env: { PULLWRIGHT_URL: await listen(t, cut) } });
  t.match(lost, { code: 1, stderr: /^The connection to http:\S+ failed: / });
});
