import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { CleanUp } from '../../schemas/housekeeping.ts';
import type { RunList } from '../../schemas/run.ts';
import { readManifest } from '../../src/housekeeping/restore.ts';
import { agentText, call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';
import { backdate, daysAgo, inStore } from '../helpers/store.ts';
import { commitEntries } from '../workspaces/world.ts';

const PLAN = '# Notes\n\n## Goal\n\nNotes.';
const write = { calls: [{ name: 'write_file', args: { file_path: 'NOTES.md', content: 'notes\n' } }] };

t.test('housekeeping deletes old events, runs, conversations and audit entries', async (t) => {
  const world = await makeWorld(t);
  let server = await startServerProcess(t, world);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'O-1', repo_url: REPO });
  world.gemini.on(/ask/, [{ text: 'answer' }]);
  const chat = { action: 'chat', message: 'ask' };
  const old = [await run(server, 'O-1', chat), await run(server, 'O-1', chat)].map((ended) => ended.run.run_id);
  await server.stop();
  backdate(world, 400);
  inStore(world, (store) => {
    const entry = `insert into audit (time, actor, address, method, operation, status) values (?, 'a', '', 'POST', 'x', 200)`;
    store.prepare(entry).run(daysAgo(40));
    t.throws(() => store.exec('delete from audit where seq = 1'), /append-only/, 'a recent entry cannot be deleted');
    t.throws(() => store.exec(`update audit set actor = 'b'`), /append-only/);
  });
  t.ok(existsSync(join(world.dir, 'data', 'conversations', 'O-1')));

  server = await startServerProcess(t, world, { RETAIN_AUDIT_DAYS: '30' });
  const { body } = await call<CleanUp>(server, 'POST', '/v1/housekeeping');
  t.match(body, { events_of_runs: 2, runs: 1, conversations: 1, audit_entries: 1 });
  t.equal((await call(server, 'GET', `/v1/runs/${old[0]}`)).status, 404, 'the old run is deleted');
  t.match(
    (await call(server, 'GET', `/v1/runs/${old[1]}`)).body,
    { result: { text: 'answer' } },
    'the newest run is kept',
  );
  t.notOk(existsSync(join(world.dir, 'data', 'conversations', 'O-1')));
  await server.stop();
  inStore(world, (store) => {
    t.match(store.prepare('select count(*) as n from events where run_id = ?').get(old[1]), { n: 0 });
    t.match(store.prepare('select events_deleted_at as at from runs where run_id = ?').get(old[1]), { at: String });
  });

  server = await startServerProcess(t, world, { RETAIN_AUDIT_DAYS: '30' });
  const fresh = [await run(server, 'O-1', chat), await run(server, 'O-1', chat)];
  t.equal(agentText(fresh[1]?.events ?? []), 'answer', 'the ticket still works');
  t.match(
    (await call<CleanUp>(server, 'POST', '/v1/housekeeping')).body,
    { events_of_runs: 0, runs: 1, conversations: 0, audit_entries: 0 },
    'the old run is no longer the newest; recent runs are kept',
  );
  const ids = fresh.map((ended) => ended.run.run_id);
  for (const id of ids) t.equal((await call(server, 'GET', `/v1/runs/${id}/events`)).status, 200);
  await server.stop();

  server = await startServerProcess(t, world, { RETAIN_RUNS_PER_TICKET: '1' });
  t.match((await call<CleanUp>(server, 'POST', '/v1/housekeeping')).body, { runs: 1 }, 'by count');
  t.strictSame(
    (await call<RunList>(server, 'GET', '/v1/tickets/O-1/runs')).body.items.map((one) => one.run_id),
    ids.slice(1),
  );
  await server.stop();
});

t.test('housekeeping keeps the runs that a ticket still needs, whatever their age and number', async (t) => {
  const world = await makeWorld(t);
  const { gemini, github } = world;
  gemini.on('remember 42', [{ text: 'Noted.' }]);
  gemini.on('which number', [{ text: 'That one.' }]);
  gemini.on(/Action: make_plan/, [{ text: PLAN }]);
  gemini.on(/Action: dev/, [write, { text: 'Wrote them.' }]);
  const tickets = ['COUNT', 'AGE'];
  const needed = new Map<string, string[]>();
  let server = await startServerProcess(t, world);
  for (const ticket of tickets) {
    await call(server, 'POST', '/v1/tickets', { ticket_id: ticket, repo_url: REPO });
    github.failNext({ match: /^POST .*pulls$/, status: 403, body: { message: 'Forbidden.' } });
    const dev = await run(server, ticket, { action: 'dev' });
    t.match(dev.run, { state: 'failed', error: { code: /^github_/ } }, 'pushed without a pull request');
    const chat = await run(server, ticket, { action: 'chat', message: 'remember 42' });
    needed.set(ticket, [chat.run.run_id, dev.run.run_id]);
  }
  await server.stop();
  server = await startServerProcess(t, world, { REQUIRE_PLAN_APPROVAL: 'true' });
  for (const ticket of [...tickets, ...tickets, ...tickets]) {
    const { run: later } = await run(server, ticket, { action: 'dev' });
    t.match(later.error, { code: 'plan_not_approved' }, 'the run has no conversation and no commit');
  }
  await server.stop();

  const idsOf = async (ticket: string) =>
    (await call<RunList>(server, 'GET', `/v1/tickets/${ticket}/runs`)).body.items.map(({ run_id }) => run_id);
  backdate(world, 2, 'AGE');
  server = await startServerProcess(t, world, { RETAIN_RUNS_DAYS: '1', RETAIN_RUNS_PER_TICKET: '0' });
  t.match((await call<CleanUp>(server, 'POST', '/v1/housekeeping')).body, { runs: 2 }, 'by age');
  t.strictSame((await idsOf('AGE')).slice(1), needed.get('AGE'));
  await server.stop();
  server = await startServerProcess(t, world, { RETAIN_RUNS_DAYS: '0', RETAIN_RUNS_PER_TICKET: '1' });
  t.match((await call<CleanUp>(server, 'POST', '/v1/housekeeping')).body, { runs: 2 }, 'by count');
  t.strictSame((await idsOf('COUNT')).slice(1), needed.get('COUNT'));

  for (const ticket of tickets) {
    await run(server, ticket, { action: 'chat', message: 'which number' });
    const { contents } = gemini.requests.at(-1)?.body ?? {};
    t.match(JSON.stringify(contents), /remember 42.*Noted\..*which number/, 'the conversation is loaded');
    const again = await run(server, ticket, { action: 'dev' });
    t.match(again.run, { state: 'succeeded', result: { pull_request: { created: true } } });
  }
  t.equal(github.pulls('acme/duration').length, 2);
  await server.stop();
});

t.test('housekeeping parks a pushed workspace, and the next command restores it', async (t) => {
  const world = await makeWorld(t);
  const { gemini, dir } = world;
  const folder = (ticket: string, ...path: string[]) => join(dir, 'tickets', ticket, ...path);
  let server = await startServerProcess(t, world);
  for (const ticket_id of ['PUSHED', 'DIRTY', 'AHEAD', 'YOUNG']) {
    await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
  }
  gemini.on(/Action: make_plan/, [{ text: PLAN }]);
  gemini.on(/Action: dev/, [write, { text: 'Wrote them.' }]);
  t.equal((await run(server, 'PUSHED', { action: 'dev' })).run.state, 'succeeded');
  writeFileSync(folder('DIRTY', 'mine.txt'), 'mine\n');
  writeFileSync(folder('AHEAD', 'mine.txt'), 'mine\n');
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'safe.directory=*', '-C', folder('AHEAD'), ...args], { encoding: 'utf8' });
  git('add', 'mine.txt');
  git('-c', 'user.name=A', '-c', 'user.email=a@example.org', 'commit', '-qm', 'Mine');
  const mine = git('rev-parse', 'HEAD');
  const diff = (await call(server, 'GET', '/v1/tickets/PUSHED/diff')).body;
  const files = readdirSync(folder('PUSHED')).sort();
  await server.stop();
  backdate(world, 31);
  backdate(world, 29, 'YOUNG');

  server = await startServerProcess(t, world);
  const { body } = await call<CleanUp>(server, 'POST', '/v1/housekeeping');
  t.strictSame(body.parked, ['PUSHED']);
  t.strictSame(body.kept.map(({ ticket_id, reason }) => `${ticket_id}: ${reason}`).sort(), [
    'AHEAD: It has unpushed commits.',
    'DIRTY: It has uncommitted changes.',
  ]);
  t.notOk(existsSync(folder('PUSHED')));
  t.ok(existsSync(folder('YOUNG')));
  t.equal(readFileSync(folder('DIRTY', 'mine.txt'), 'utf8'), 'mine\n');
  t.equal(git('rev-parse', 'HEAD'), mine);
  t.match((await call(server, 'GET', '/v1/tickets/PUSHED')).body, { state: 'ready', workspace: { place: 'parked' } });
  t.match((await call(server, 'GET', '/v1/tickets/DIRTY')).body.workspace, { place: 'present', kept: /uncommitted/ });
  t.strictSame((await call(server, 'GET', '/v1/tickets/PUSHED/diff')).body, diff, 'the diff is unchanged');
  await server.stop('SIGKILL');
  // As left by a server that was killed between recording `parked_at` and removing the files.
  const record = join(dir, 'data', 'gitdirs', 'YOUNG.git', 'pullwright.json');
  writeFileSync(record, JSON.stringify({ ...JSON.parse(readFileSync(record, 'utf8')), parked_at: daysAgo(1) }));

  server = await startServerProcess(t, world);
  t.match(
    (await call(server, 'GET', '/v1/tickets/PUSHED')).body.workspace,
    { place: 'parked' },
    'the workspace is parked after a crash, too',
  );
  t.match((await call(server, 'GET', '/v1/tickets/YOUNG')).body.workspace, { place: 'present' });
  t.ok(existsSync(folder('YOUNG', 'package.json')), 'a workspace with files is not parked');
  gemini.on('still there', [{ text: 'yes' }]);
  const back = await run(server, 'PUSHED', { action: 'chat', message: 'still there?' });
  t.equal(agentText(back.events), 'yes', 'the next command restores the workspace');
  t.strictSame(readdirSync(folder('PUSHED')).sort(), files);
  t.equal(readFileSync(folder('PUSHED', 'NOTES.md'), 'utf8'), 'notes\n');
  t.equal(
    execFileSync('git', ['-c', 'safe.directory=*', '-C', folder('PUSHED'), 'status', '--porcelain'], {
      encoding: 'utf8',
    }),
    '',
  );
  t.strictSame((await call(server, 'GET', '/v1/tickets/PUSHED/diff')).body, diff);
  await server.stop();
});

t.test('housekeeping on a low disk parks recent workspaces and removes unused mirrors', async (t) => {
  const world = await makeWorld(t);
  let server = await startServerProcess(t, world);
  await world.github.addRepository('acme/other', {
    from: fileURLToPath(new URL('../../standins/sample', import.meta.url)),
  });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'L-1', repo_url: REPO });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'L-2', repo_url: 'https://github.com/acme/other' });
  await call(server, 'DELETE', '/v1/tickets/L-2');
  await server.stop();
  backdate(world, 1);
  t.equal(readdirSync(join(world.dir, 'data', 'mirrors')).length, 2);

  server = await startServerProcess(t, world, { MIN_FREE_DISK_MB: '90000000' });
  t.match((await call<CleanUp>(server, 'POST', '/v1/housekeeping')).body, { parked: ['L-1'], mirrors_removed: 1 });
  t.equal(readdirSync(join(world.dir, 'data', 'mirrors')).length, 1);
  t.match(await call(server, 'POST', '/v1/tickets/L-1/runs', { action: 'make_plan' }), { status: 507 });
  await server.stop();
});

t.test('housekeeping packs a mirror with many loose objects and loses none', async (t) => {
  const world = await makeWorld(t);
  let server = await startServerProcess(t, world);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'G-1', repo_url: REPO });
  const mirrors = join(world.dir, 'data', 'mirrors');
  const git = (args: string[], input = '') =>
    execFileSync('git', ['--git-dir', join(mirrors, readdirSync(mirrors)[0] ?? ''), ...args], {
      input,
      encoding: 'utf8',
    });
  const paths = Array.from({ length: 600 }, (_, index) => {
    const path = join(world.dir, `blob-${index}`);
    writeFileSync(path, `something that no branch holds: ${index}`);
    return path;
  });
  const unreachable = git(['hash-object', '-w', '--stdin-paths'], paths.join('\n')).trim().split('\n');
  t.match((await call<CleanUp>(server, 'POST', '/v1/housekeeping')).body, { mirrors_packed: 1 });
  // git packs unreachable loose objects only if a pack already exists.
  t.match((await call<CleanUp>(server, 'POST', '/v1/housekeeping')).body, { mirrors_packed: 1 });
  t.match(git(['count-objects', '-v']), /^count: 0\n/, 'no object is loose');
  const listed = git(['cat-file', '--batch-check'], unreachable.join('\n'));
  t.equal(listed.match(/ blob /g)?.length, 600, 'unreachable objects are kept');
  t.match(
    (await call<CleanUp>(server, 'POST', '/v1/housekeeping')).body,
    { mirrors_packed: 0 },
    'a packed mirror is not packed again',
  );
  world.gemini.on('fine', [{ text: 'yes' }]);
  t.equal(agentText((await run(server, 'G-1', { action: 'chat', message: 'fine?' })).events), 'yes');
  await server.stop();

  const half = join(mirrors, readdirSync(mirrors)[0] ?? '', 'objects', 'pack', '.tmp-4711-pack-0123.pack');
  writeFileSync(half, 'a partial pack of a killed repack');
  server = await startServerProcess(t, world);
  t.notOk(existsSync(half), 'the next start removes the partial pack');
  await server.stop();
});

t.test('housekeeping and backup skip a ticket whose record cannot be read', async (t) => {
  const world = await makeWorld(t);
  let server = await startServerProcess(t, world);
  for (const ticket_id of ['A-1', 'B-1', 'C-1']) {
    await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
  }
  await server.stop();
  backdate(world, 31);
  writeFileSync(join(world.dir, 'data', 'gitdirs', 'B-1.git', 'pullwright.json'), '{"ticket_');
  server = await startServerProcess(t, world);
  const { body } = await call<CleanUp>(server, 'POST', '/v1/housekeeping');
  t.strictSame(body.parked.sort(), ['A-1', 'C-1']);
  t.match(body.kept, [{ ticket_id: 'B-1', reason: /pullwright\.json/ }]);
  const backup = await fetch(new URL('/v1/backup', server.url), { method: 'POST' });
  t.equal(backup.status, 200);
  const file = join(world.dir, 'backup.tar.gz');
  writeFileSync(file, Buffer.from(await backup.arrayBuffer()));
  t.match(await readManifest(file), { left_out: [{ ticket_id: 'B-1' }] });
  await server.stop();
});

t.test('a workspace with files in a submodule folder is neither parked nor deleted', async (t) => {
  const world = await makeWorld(t);
  const { directory } = await world.github.addRepository('acme/parts');
  const content = await world.github.commit('acme/parts', { files: { 'part.txt': 'part\n' } });
  commitEntries(directory, [{ path: 'vendor/lib', mode: '160000', content }]);
  let server = await startServerProcess(t, world);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'SUB-1', repo_url: 'https://github.com/acme/parts' });
  const file = join(world.dir, 'tickets', 'SUB-1', 'vendor', 'lib', 'mine.txt');
  writeFileSync(file, 'mine\n');
  await server.stop();
  backdate(world, 31);
  server = await startServerProcess(t, world);
  const { body } = await call<CleanUp>(server, 'POST', '/v1/housekeeping');
  t.match(body, { parked: [], kept: [{ ticket_id: 'SUB-1', reason: /submodule/ }] });
  const refused = await call(server, 'DELETE', '/v1/tickets/SUB-1');
  t.match(refused, { status: 409, body: { code: 'unpushed_work' } });
  t.equal(readFileSync(file, 'utf8'), 'mine\n');
  rmSync(file);
  t.equal((await call(server, 'DELETE', '/v1/tickets/SUB-1')).status, 204);
  await server.stop();
});
