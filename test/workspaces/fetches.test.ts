import { chmod, open, readdir, readFile, watch, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { exists } from '../../src/files/entries.ts';
import { commitEntries, makeWorld, plainGit, repo } from './world.ts';

t.test('create() and sync() reuse a fetch for FETCH_TTL_SECONDS', async (t) => {
  const { github, workspaces } = await makeWorld(t, { FETCH_TTL_SECONDS: 300 });
  await github.addRepository('acme/widgets');
  const first = await github.commit('acme/widgets', { branch: 'feature', files: { 'f.txt': 'f\n' } });
  const create = (ticketId: string, baseBranch?: string) =>
    workspaces.create({ ticketId, repo: repo('acme/widgets'), baseBranch });
  const sendsRequest = async (task: () => Promise<unknown>) => {
    const before = github.requests.length;
    await task();
    return github.requests.length > before;
  };
  t.ok(await sendsRequest(() => create('T-1')));
  t.notOk(await sendsRequest(() => create('T-2')), 'the same branch again');
  t.ok(await sendsRequest(() => create('T-3', 'feature')), 'a branch that the mirror lacks');
  t.notOk(await sendsRequest(() => create('T-4', 'feature')));
  t.notOk(await sendsRequest(() => create('T-5')), 'the mirror has both branches');

  const news = await github.commit('acme/widgets', { files: { 'new.txt': 'n\n' } });
  t.notOk(await sendsRequest(async () => t.match(await workspaces.sync('T-1'), { updated: false })));
  t.ok(
    await sendsRequest(async () =>
      t.match(await workspaces.sync('T-1', { fresh: true }), { updated: true, head: news }),
    ),
  );
  t.notOk(
    await sendsRequest(async () => t.match(await workspaces.sync('T-2'), { updated: true, head: news })),
    'one fetch updates all tickets',
  );
  await github.commit('acme/widgets', { branch: 'late', files: { 'l.txt': 'l\n' } });
  t.ok(await sendsRequest(() => create('T-6', 'late')), 'a branch created after the fetch');

  await writeFile(join((await workspaces.paths('T-4')).workspace, 'f.txt'), 'changed\n');
  await workspaces.commit('T-4', { subject: 'Change' });
  const { sha } = await workspaces.push('T-4');
  t.ok(await sendsRequest(() => workspaces.sync('T-4')), 'a push ends the reuse');
  t.match(await workspaces.status('T-4'), { head: sha, base: first, unpushed: false });
  t.notOk(await sendsRequest(() => workspaces.sync('T-4')));
  t.match(await workspaces.status('T-4'), { unpushed: false });
});

t.test('sync() retries a merge within FETCH_TTL_SECONDS when the last one was not possible', async (t) => {
  const { github, workspaces } = await makeWorld(t, { FETCH_TTL_SECONDS: 300 });
  await github.addRepository('acme/widgets');
  await github.commit('acme/widgets', { files: { 'f.txt': 'one\n' } });
  await workspaces.create({ ticketId: 'W-1', repo: repo('acme/widgets') });
  const file = join((await workspaces.paths('W-1')).workspace, 'f.txt');
  const news = await github.commit('acme/widgets', { files: { 'f.txt': 'two\n' } });
  await writeFile(file, 'mine\n');
  t.match(await workspaces.sync('W-1', { fresh: true }), { updated: false, notes: [/f\.txt has uncommitted changes/] });
  await writeFile(file, 'one\n');
  t.match(await workspaces.sync('W-1'), { updated: true, head: news });
  t.match(await workspaces.sync('W-1'), { updated: false, head: news });
  await writeFile(file, 'three\n');
  const { commit } = await workspaces.commit('W-1', { subject: 'Change' });
  t.match(await workspaces.sync('W-1'), { updated: false, head: commit?.sha ?? '' });

  const { workspace } = await workspaces.paths('W-1');
  plainGit(['commit', '--quiet', '--allow-empty', '-m', 'By hand'], { cwd: workspace });
  const byHand = plainGit(['rev-parse', 'HEAD'], { cwd: workspace });
  t.match(await workspaces.sync('W-1'), { updated: false, head: byHand }, 'a commit by hand');
});

t.test('sync() with staleOk does not wait for a remote after a recent fetch', async (t) => {
  const { github, workspaces } = await makeWorld(t, { FETCH_TTL_SECONDS: 0.001 });
  await github.addRepository('acme/widgets');
  const old = await github.commit('acme/widgets', { files: { 'f.txt': 'one\n' } });
  await workspaces.create({ ticketId: 'H-1', repo: repo('acme/widgets') });
  const news = await github.commit('acme/widgets', { files: { 'f.txt': 'two\n' } });
  t.match(await workspaces.sync('H-1', { staleOk: true }), { updated: false, head: old });
  await workspaces.create({ ticketId: 'H-2', repo: repo('acme/widgets') });
  t.match(
    await workspaces.sync('H-1', { staleOk: true }),
    { updated: true, head: news },
    'it merges what another caller fetched',
  );
});

t.test('sync() with staleOk starts no second fetch while one is running', async (t) => {
  const { github, workspaces } = await makeWorld(t, { FETCH_TTL_SECONDS: 0.001 });
  await github.addRepository('acme/widgets');
  const { head } = await workspaces.create({ ticketId: 'H-1', repo: repo('acme/widgets') });
  const fetchStarted = github.hang({ match: /info\/refs/ });
  t.match(await workspaces.sync('H-1', { staleOk: true }), { updated: false, head });
  await fetchStarted;
  const { length } = github.requests;
  t.match(await workspaces.sync('H-1', { staleOk: true }), { updated: false, head });
  t.equal(github.requests.length, length);
  await workspaces.close();
});

t.test('sync() with staleOk waits for the remote when FETCH_TTL_SECONDS is 0', async (t) => {
  const { github, workspaces } = await makeWorld(t, { FETCH_TTL_SECONDS: 0 });
  await github.addRepository('acme/widgets');
  await workspaces.create({ ticketId: 'A-1', repo: repo('acme/widgets') });
  const news = await github.commit('acme/widgets', { files: { 'f.txt': 'two\n' } });
  t.match(await workspaces.sync('A-1', { staleOk: true }), { updated: true, head: news });
});

t.test('create() shares the next fetch for all branches while one is running', async (t) => {
  const { github, workspaces } = await makeWorld(t);
  await github.addRepository('acme/widgets');
  const one = await github.commit('acme/widgets', { branch: 'one', files: { '1': '1' } });
  const two = await github.commit('acme/widgets', { branch: 'two', files: { '2': '2' } });
  const hanging = github.hang({ match: /widgets/ });
  const controller = new AbortController();
  const create = (ticketId: string, baseBranch: string, signal?: AbortSignal) =>
    workspaces.create({ ticketId, repo: repo('acme/widgets'), baseBranch }, { signal });
  const stuck = t.rejects(create('W-0', 'main', controller.signal), { code: 'canceled' });
  await hanging;
  const others = Promise.all([create('W-1', 'one'), create('W-2', 'two'), create('W-3', 'one')]);
  controller.abort();
  await stuck;
  t.match(await others, [{ base: one }, { base: two }, { base: one }]);
});

t.test('create() reads files from the uncompressed pack', async (t) => {
  const world = await makeWorld(t);
  const { github, workspaces } = world;
  const { directory } = await github.addRepository('acme/many', { empty: true });
  const files = Array.from({ length: 1500 }, (_, n) => ({ path: `d${n % 10}/${n}.txt`, content: `file ${n}\n` }));
  commitEntries(directory, files);
  const create = (ticketId: string) => workspaces.create({ ticketId, repo: repo('acme/many') });
  const file = (ticketId: string, name: string) => world.path('tickets', ticketId, name);
  const read = (ticketId: string, name: string) => readFile(file(ticketId, name), 'utf8');
  await create('P-1');
  const { mirror, gitDir } = await workspaces.paths('P-1');
  await waitForEntry(mirror, 'plain');

  // From here on, only the uncompressed pack contains this object.
  await damageObject(join(mirror, 'objects'), plainGit(['--git-dir', gitDir, 'rev-parse', 'HEAD:d7/7.txt']));
  await create('P-2');
  t.equal(await read('P-2', 'd7/7.txt'), 'file 7\n');
  t.match(await workspaces.status('P-2'), { dirty: false });
  t.throws(() => plainGit(['--git-dir', gitDir, 'cat-file', 'blob', 'HEAD:d7/7.txt']), 'tickets do not borrow from it');

  await writeFile(file('P-2', 'd8/8.txt'), 'changed in place\n', { flag: 'r+' });
  commitEntries(directory, [{ path: 'd9/9.txt', content: 'newer\n' }]);
  await create('P-3');
  t.equal(await read('P-3', 'd8/8.txt'), 'file 8\n', 'tickets share no file');
  t.equal(await read('P-3', 'd9/9.txt'), 'newer\n', 'newer objects come from the mirror');
});

t.test('create() reads from the mirror when the uncompressed pack is damaged', async (t) => {
  const { github, workspaces, path } = await makeWorld(t);
  const { directory } = await github.addRepository('acme/many', { empty: true });
  commitEntries(
    directory,
    Array.from({ length: 1500 }, (_, n) => ({ path: `${n}.txt`, content: `file ${n}\n` })),
  );
  await workspaces.create({ ticketId: 'D-1', repo: repo('acme/many') });
  const { mirror, gitDir } = await workspaces.paths('D-1');
  await waitForEntry(mirror, 'plain');
  await damageObject(join(mirror, 'plain'), plainGit(['--git-dir', gitDir, 'rev-parse', 'HEAD:7.txt']));
  await workspaces.create({ ticketId: 'D-2', repo: repo('acme/many') });
  t.equal(await readFile(path('tickets', 'D-2', '7.txt'), 'utf8'), 'file 7\n');
  t.match(await workspaces.status('D-2'), { dirty: false });
});

/** Resolves when a file or folder of this name exists. */
async function waitForEntry(folder: string, name: string): Promise<void> {
  const controller = new AbortController();
  const changes = watch(folder, { signal: controller.signal });
  const next = changes[Symbol.asyncIterator]();
  let change = next.next();
  change.catch(() => {});
  while (!(await exists(join(folder, name)))) {
    await change;
    change = next.next();
    change.catch(() => {});
  }
  controller.abort();
}

/** Overwrites an object in the one pack of an object directory. */
async function damageObject(objects: string, object: string): Promise<void> {
  const names = (await readdir(join(objects, 'pack'))).filter((name) => name.endsWith('.pack'));
  const pack = join(objects, 'pack', names[0] ?? '');
  const index = plainGit(['verify-pack', '-v', pack]).split('\n');
  const line = index.find((one) => one.startsWith(object)) ?? '';
  const [, , , , offset] = line.split(/\s+/);
  await chmod(pack, 0o644);
  const file = await open(pack, 'r+');
  await file.write(Buffer.from('spoilt'), 0, 6, Number(offset) + 1);
  await file.close();
}
