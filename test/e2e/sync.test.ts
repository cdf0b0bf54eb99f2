import { execFileSync } from 'node:child_process';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { call, events, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const { gemini, github } = world;
const server = await startServer(t, world);
const file = (name: string) => join(world.dir, 'tickets', 'S-1', name);
const sync = (ticketId = 'S-1') => call(server, 'POST', `/v1/tickets/${ticketId}/sync`);
const PLAN = '# Readme\n\n## Goal\n\nA readme.';

t.test('sync merges the base branch', async (t) => {
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'S-1', repo_url: REPO });
  t.match(await sync(), { status: 200, body: { ticket_id: 'S-1', updated: false, notes: [] } });
  await github.commit('acme/duration', { files: { 'NEWS.md': 'news\n' } });
  const { status, body } = await sync('s-1');
  t.match({ status, body }, { status: 200, body: { ticket_id: 'S-1', updated: true, head: /^[0-9a-f]{40}$/ } });
  t.equal(body.head, body.base);
  t.equal(await readFile(file('NEWS.md'), 'utf8'), 'news\n');
  t.match(await sync('NONE-1'), { status: 404, body: { code: 'ticket_not_found' } });
});

t.test('sync answers 409 while a run is active', async (t) => {
  gemini.on('hold the ticket', [{ hang: true }, { text: 'done' }]);
  const started = await call<Run>(server, 'POST', '/v1/tickets/S-1/runs', {
    action: 'chat',
    message: 'hold the ticket',
  });
  await gemini.waitFor((request) => request.prompt.includes('hold the ticket') && request.state === 'held');
  const busy = await sync();
  t.match(busy, { status: 409, body: { code: 'ticket_busy' } });
  t.ok(Number(busy.headers.get('retry-after')) > 0);
  gemini.release();
  await events(server, started.body.run_id);
  t.equal((await sync()).status, 200);
});

t.test('sync names conflicting files and changes nothing', async (t) => {
  gemini.on(/Action: make_plan/, [{ text: PLAN }]);
  gemini.on(/Action: dev/, [
    { calls: [{ name: 'write_file', args: { file_path: 'NEWS.md', content: 'ours\n' } }] },
    { text: 'done' },
  ]);
  const started = await call<Run>(server, 'POST', '/v1/tickets/S-1/runs', { action: 'dev' });
  t.equal((await events(server, started.body.run_id)).at(-1)?.type, 'run.succeeded');
  await github.commit('acme/duration', { files: { 'NEWS.md': 'theirs\n', 'OTHER.md': 'other\n' } });
  await writeFile(file('draft.txt'), 'not committed');
  const before = (await call(server, 'GET', '/v1/tickets/S-1/diff')).body;
  t.match(await sync(), { status: 409, body: { code: 'merge_conflict', detail: /NEWS\.md/ } });
  const after = (await call(server, 'GET', '/v1/tickets/S-1/diff')).body;
  t.equal(after.head, before.head);
  t.equal(await readFile(file('NEWS.md'), 'utf8'), 'ours\n');
  t.equal(await readFile(file('draft.txt'), 'utf8'), 'not committed');
  await t.rejects(readFile(file('OTHER.md')));
});

t.test('`chat` succeeds with a warning when the base branch conflicts', async (t) => {
  gemini.on('all the same', [{ text: 'yes' }]);
  const { run: asked, events: log } = await run(server, 'S-1', { action: 'chat', message: 'all the same?' });
  t.equal(asked.state, 'succeeded');
  const warnings = log.flatMap((event) =>
    event.type === 'log' && event.data.level === 'warn' ? [event.data.text] : [],
  );
  t.match(warnings, [/not merged: .*NEWS\.md/]);
});

t.test('a run fails before any model request when its workspace is damaged or off its branch', async (t) => {
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'S-2', repo_url: REPO });
  const workspace = join(world.dir, 'tickets', 'S-2');
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'safe.directory=*', '-C', workspace, ...args], { encoding: 'utf8' }).trim();
  await github.commit('acme/duration', { files: { 'README.md': 'new\n', 'hidden.txt': 'for a while\n' } });
  await writeFile(join(workspace, 'README.md'), 'in the way\n');
  t.match((await sync('S-2')).body, { updated: false, notes: [/README\.md/] }, 'fetched but not merged');
  git('checkout', '--quiet', 'README.md');
  const sha = git('rev-parse', 'origin/main:hidden.txt');
  const mirrors = join(world.dir, 'data', 'mirrors');
  const blob = join(mirrors, (await readdir(mirrors))[0] ?? '', 'objects', sha.slice(0, 2), sha.slice(2));
  await rename(blob, `${blob}-away`);

  gemini.on('how far', [{ text: 'all the way' }]);
  const ask = () => run(server, 'S-2', { action: 'chat', message: 'how far?' });
  const before = gemini.requests.length;
  for (const attempt of ['first attempt', 'second attempt']) {
    const { run: refused } = await ask();
    t.match(refused, { state: 'failed', error: { code: 'workspace_tampered', detail: /hidden\.txt/ } }, attempt);
    t.match(refused.error?.remedy, /next command tries again/);
  }
  await rename(`${blob}-away`, blob);
  git('symbolic-ref', 'HEAD', 'refs/heads/other');
  t.match((await ask()).run, { state: 'failed', error: { code: 'workspace_tampered', detail: /not on the branch/ } });
  t.equal(gemini.requests.length, before, 'the model got no request');
  git('symbolic-ref', 'HEAD', 'refs/heads/ticket_S-2');
  t.equal((await ask()).run.state, 'succeeded');
  t.equal(await readFile(join(workspace, 'hidden.txt'), 'utf8'), 'for a while\n', 'the update is complete');
  t.equal(git('status', '--porcelain'), '');
});
