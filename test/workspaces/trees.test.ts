import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HOSTILE_TREES, objectsOf } from './hostile-trees.ts';
import { makeWorld, plainGit, repo, setUp, TOKEN, type World } from './world.ts';

const REMEDY = { path_unsupported: /on the branch in the repository/, workspace_too_large: /Raise MAX_WORKSPACE_MB/ };

/** One tree for each check that refuses trees. */
const SOME_NAMES = [
  'a link target of 5,000 bytes',
  'a way out of the workspace',
  '10^12 files in nested folders',
  'folders 2,100 deep',
  '20,000 empty files',
];
const SOME_TREES = SOME_NAMES.flatMap((name) => HOSTILE_TREES.filter((tree) => tree.name === name));

/** Creates a repository with one file. Workspaces are limited to 64 MiB. */
async function setUpRepository(t: Test) {
  const world = await makeWorld(t, { MAX_WORKSPACE_MB: 64 });
  const { directory } = await world.github.addRepository('acme/widgets');
  const objects = objectsOf(directory);
  const readme = objects.file('README.md', 'read me\n');
  objects.commit([readme]);
  const create = (ticketId: string) => world.workspaces.create({ ticketId, repo: repo('acme/widgets') });
  return { ...world, directory, objects, readme, create };
}

t.test('create() refuses a tree when the disk cannot hold its files', async (t) => {
  const { workspaces, objects, readme, create, path } = await setUpRepository(t);
  for (const { name, code, detail, nodes } of HOSTILE_TREES) {
    objects.commit([readme, ...nodes(objects)]);
    await t.rejects(create('NEW'), { code, message: detail, remedy: REMEDY[code] }, name);
    await t.rejects(workspaces.paths('NEW'), { code: 'ticket_not_found' });
    await assertNothingStaged(t, path);
  }
  objects.commit([readme]);
  t.match(await create('NEW'), { created: true }, 'create() succeeds when the branch is repaired');
});

t.test('sync() keeps the commit of the ticket when the new base cannot be checked out', async (t) => {
  const { workspaces, objects, readme, create, path } = await setUpRepository(t);
  await create('OLD');
  const { workspace, gitDir } = await workspaces.paths('OLD');
  await writeFile(`${workspace}/draft.txt`, 'not committed\n');
  for (const [index, { name, code, detail, nodes }] of SOME_TREES.entries()) {
    const before = await workspaces.status('OLD');
    objects.commit([readme, ...nodes(objects)]);
    await t.rejects(workspaces.sync('OLD'), { code, message: detail, remedy: REMEDY[code] }, name);
    t.match(await workspaces.status('OLD'), { head: before.head, ahead: 0, dirty: true });
    t.notOk(existsSync(join(gitDir, 'moving')));
    t.match(await workspaces.diff('OLD'), { files: [{ path: 'draft.txt' }] });

    const base = objects.commit([readme, objects.file('repaired.txt', `${index}\n`)]);
    t.match(await workspaces.sync('OLD'), { updated: true, head: base }, 'the next base is merged');
    t.equal(await readFile(`${workspace}/repaired.txt`, 'utf8'), `${index}\n`);
  }
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), '?? draft.txt');
  await assertNothingStaged(t, path);
});

t.test('sync() and create() refuse a commit on the ticket branch when it cannot be checked out', async (t) => {
  const { workspaces, objects, readme, create, path } = await setUpRepository(t);
  for (const [index, { name, code, detail, nodes }] of SOME_TREES.slice(0, 3).entries()) {
    const ticketId = `P-${index}`;
    const branch = `ticket_${ticketId}`;
    await create(ticketId);
    objects.commit([readme, ...nodes(objects)], branch, 'main');
    await t.rejects(workspaces.sync(ticketId), { code, message: detail }, name);
    await workspaces.remove(ticketId, repo('acme/widgets').url);
    await t.rejects(create(ticketId), { code, message: detail }, 'a new ticket does not continue from it');
    await assertNothingStaged(t, path);

    objects.commit([readme, objects.file('theirs.txt')], branch);
    await create(ticketId);
    objects.commit([readme, objects.file(`base-${ticketId}.txt`, `${ticketId}\n`)]);
    await workspaces.sync(ticketId);
    const files = ['.git', 'README.md', `base-${ticketId}.txt`, 'theirs.txt'];
    t.strictSame((await readdir(path('tickets', ticketId))).sort(), files, 'with the tree in its history');
  }
});

t.test('sync() and diff() compare commits only when the tree of their common ancestor can be read', async (t) => {
  const { workspaces, objects, readme, create } = await setUpRepository(t);
  objects.commit([readme, objects.bomb('bomb', 12, objects.file('f'))]);
  objects.commit([readme, objects.file('theirs.txt')], 'ticket_A', 'main');
  objects.commit([readme, objects.file('base.txt')]);
  await create('A');
  await t.rejects(workspaces.sync('A'), { code: 'workspace_too_large' });
  await t.rejects(workspaces.diff('A'), { code: 'workspace_too_large' });
  t.match(await workspaces.status('A'), { dirty: false });

  objects.commit([readme, objects.link('link', 'x'.repeat(5000))]);
  objects.commit([readme, objects.file('theirs.txt')], 'ticket_B', 'main');
  objects.commit([readme, objects.file('base.txt')]);
  await create('B');
  t.match(await workspaces.sync('B'), { updated: true }, 'the paths of the ancestor need not be valid on the disk');
  t.match(await workspaces.diff('B'), { files: [{ path: 'theirs.txt' }] });
});

t.test('sync() refuses a merge when only its result exceeds the limit', async (t) => {
  const { workspaces, objects, readme, create } = await setUpRepository(t);
  await create('SUM');
  const half = (name: string) => objects.many(9_000, objects.file(name));
  objects.commit([readme, ...half('t')], 'ticket_SUM', 'main');
  const { head } = await workspaces.sync('SUM');
  objects.commit([readme, ...half('b')]);
  await t.rejects(workspaces.sync('SUM'), { code: 'workspace_too_large' });
  t.match(await workspaces.status('SUM'), { head, dirty: false });
});

t.test('sync() keeps a parked or restored ticket when its files exceed the limit', async (t) => {
  const { dir, parentEnv, workspaces, objects, readme, create, path } = await setUpRepository(t);
  objects.commit([readme, ...objects.many(2_000, objects.file('f'))]);
  await create('PARKED');
  await create('SAVED');
  const { workspace } = await workspaces.paths('SAVED');
  await writeFile(`${workspace}/draft.txt`, 'not committed\n');
  t.equal(await workspaces.maintenance.park('PARKED', async () => true), undefined);
  await workspaces.maintenance.backup(path('saved'));
  await workspaces.close();

  const small = setUp(dir, parentEnv, TOKEN, undefined, { MAX_WORKSPACE_MB: 5 }).workspaces;
  await small.recover();
  await t.rejects(small.sync('PARKED'), { code: 'workspace_too_large' });
  t.equal(await small.state('PARKED'), 'parked');
  await small.close();
  const large = setUp(dir, parentEnv, TOKEN).workspaces;
  await large.recover();
  t.match(await large.sync('PARKED'), { updated: false });
  await large.close();

  // Restored to another path.
  const borrowed = path('saved', 'gitdirs', 'SAVED.git', 'objects', 'info', 'alternates');
  await writeFile(borrowed, (await readFile(borrowed, 'utf8')).replace(path('data'), path('saved')));
  const folders = { DATA_DIR: path('saved'), TICKETS_ROOT: path('restored') };
  const restored = setUp(dir, parentEnv, TOKEN, undefined, { ...folders, MAX_WORKSPACE_MB: 5 }).workspaces;
  await restored.recover();
  await t.rejects(restored.sync('SAVED'), { code: 'workspace_too_large' });
  t.match(await restored.status('SAVED'), { dirty: true }, 'uncommitted changes are kept');
  await restored.close();
  const roomy = setUp(dir, parentEnv, TOKEN, undefined, folders).workspaces;
  await roomy.recover();
  await roomy.sync('SAVED');
  t.equal(await readFile(path('restored', 'SAVED', 'draft.txt'), 'utf8'), 'not committed\n');
  await roomy.close();
});

async function assertNothingStaged(t: Test, path: World['path']): Promise<void> {
  t.strictSame(await readdir(path('data', 'staging')), []);
  t.strictSame(await readdir(path('tickets', '.staging')), []);
}
