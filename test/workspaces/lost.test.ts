import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { makeWorld, plainGit, repo, setUp, TOKEN, type World } from './world.ts';

/** Starts a server's workspaces, optionally in other folders. */
async function start(t: Test, { dir, parentEnv }: World, folders: { DATA_DIR?: string; TICKETS_ROOT?: string } = {}) {
  const { workspaces } = setUp(dir, parentEnv, TOKEN, undefined, folders);
  t.teardown(() => workspaces.close());
  await workspaces.recover();
  return workspaces;
}

/** Creates a ticket with a commit that is not pushed. */
async function makeTicket({ workspaces }: World, ticketId: string): Promise<string> {
  await workspaces.create({ ticketId, repo: repo('acme/widgets') });
  const { workspace } = await workspaces.paths(ticketId);
  await writeFile(`${workspace}/mine.txt`, 'mine\n');
  await workspaces.commit(ticketId, { subject: 'Mine' });
  return workspace;
}

async function gitDirs({ path }: World): Promise<string[]> {
  return (await readdir(path('data', 'gitdirs'))).sort();
}

t.test('recover() keeps a ticket with unpushed work when its files are deleted', async (t) => {
  const world = await makeWorld(t);
  await world.github.addRepository('acme/widgets');
  let { workspaces } = world;
  const committed = await makeTicket(world, 'AHEAD');
  const detached = await makeTicket(world, 'ELSEWHERE');
  await workspaces.push('ELSEWHERE');
  plainGit(['checkout', '--quiet', '--detach'], { cwd: detached });
  plainGit(['commit', '--quiet', '--allow-empty', '-m', 'On no branch'], { cwd: detached });
  const pushed = await makeTicket(world, 'PUSHED');
  await workspaces.push('PUSHED');
  await workspaces.create({ ticketId: 'KEPT', repo: repo('acme/widgets') });
  const { workspace: kept } = await workspaces.paths('KEPT');
  await writeFile(`${kept}/draft.txt`, 'draft\n');
  const checkpoint = await workspaces.checkpoint('KEPT', 'run_1');
  const lose = async () => {
    for (const folder of [committed, detached, pushed, kept]) await rm(folder, { recursive: true, force: true });
  };

  await lose();
  t.match(await workspaces.status('AHEAD'), { ahead: 1, unpushed: true });
  t.equal(await workspaces.state('AHEAD'), 'parked');
  t.match(await workspaces.create({ ticketId: 'AHEAD', repo: repo('acme/widgets') }), { created: false });
  t.equal(await readFile(`${committed}/mine.txt`, 'utf8'), 'mine\n', 'create() restores the files');
  t.equal(plainGit(['status', '--porcelain'], { cwd: committed }), '');
  await rm(committed, { recursive: true });
  await workspaces.sync('AHEAD');
  t.equal(await readFile(`${committed}/mine.txt`, 'utf8'), 'mine\n', 'sync() restores the files too');

  await lose();
  workspaces = await start(t, world);
  t.strictSame(
    await gitDirs(world),
    ['AHEAD.git', 'ELSEWHERE.git', 'KEPT.git'],
    'pushed tickets are deleted, since the remote has them',
  );
  const { gitDir, mirror } = await workspaces.paths('KEPT');
  t.equal(plainGit(['--git-dir', gitDir, 'rev-parse', checkpoint?.ref ?? '']), checkpoint?.sha);
  t.match(plainGit(['--git-dir', mirror, 'for-each-ref', 'refs/tickets']), /refs\/tickets\/KEPT\//);
  await workspaces.sync('AHEAD');
  t.equal(await readFile(`${committed}/mine.txt`, 'utf8'), 'mine\n', 'sync() restores the files after a start');
  t.match(await workspaces.create({ ticketId: 'PUSHED', repo: repo('acme/widgets') }), { created: true });
  t.equal(await readFile(`${pushed}/mine.txt`, 'utf8'), 'mine\n');

  await rm(committed, { recursive: true });
  await workspaces.remove('AHEAD', repo('acme/widgets').url);
  await rm(pushed, { recursive: true });
  await workspaces.remove('PUSHED', repo('acme/widgets').url);
  t.strictSame(await gitDirs(world), ['ELSEWHERE.git', 'KEPT.git'], 'remove() deletes the git directory');
});

t.test('recover() changes nothing when TICKETS_ROOT does not belong to DATA_DIR', async (t) => {
  const world = await makeWorld(t);
  const { path } = world;
  await world.github.addRepository('acme/widgets');
  const workspace = await makeTicket(world, 'AHEAD');
  await world.workspaces.create({ ticketId: 'EVEN', repo: repo('acme/widgets') });
  const everything = async () => (await readdir(path(), { recursive: true })).sort();

  await rename(path('tickets'), path('unmounted'));
  let before = await everything();
  await t.rejects(start(t, world), { message: /^TICKETS_ROOT .* holds no workspace of the 2 tickets .*\. Mount it/ });
  t.strictSame(await everything(), before, 'a missing folder');
  await mkdir(path('tickets', 'lost+found'), { recursive: true });
  before = await everything();
  await t.rejects(start(t, world), { message: /copy .*data\/owner-id to .*tickets\/\.owner-id/ });
  t.strictSame(await everything(), before, 'an empty mount point');
  await rm(path('tickets'), { recursive: true });
  await rename(path('unmounted'), path('tickets'));

  const second = { DATA_DIR: path('data-2') };
  await mkdir(path('tickets', '.staging', 'of the first'));
  await t.rejects(start(t, world, second), { message: /^TICKETS_ROOT .*belongs to another DATA_DIR/ });
  t.strictSame(
    await readdir(path('tickets', '.staging')),
    ['of the first'],
    'staging files of another server are kept',
  );
  await start(t, world, { ...second, TICKETS_ROOT: path('tickets-2') });
  before = await everything();
  await t.rejects(start(t, world, { TICKETS_ROOT: path('tickets-2') }), { message: /another DATA_DIR/ });
  t.strictSame(await everything(), before, 'the folder of another server');

  const workspaces = await start(t, world);
  t.match(await workspaces.status('AHEAD'), { ahead: 1, unpushed: true });
  t.strictSame(await readdir(path('tickets', '.staging')), []);
  t.equal(await readFile(`${workspace}/mine.txt`, 'utf8'), 'mine\n');
});

t.test('recover() pairs the folders when an older version wrote no owner-id', async (t) => {
  const world = await makeWorld(t);
  const { path } = world;
  await world.github.addRepository('acme/widgets');
  await makeTicket(world, 'AHEAD');
  await world.workspaces.create({ ticketId: 'EVEN', repo: repo('acme/widgets') });
  const deleteOwnerIds = async () => {
    for (const mark of [path('data', 'owner-id'), path('tickets', '.owner-id')]) await rm(mark, { force: true });
  };
  await deleteOwnerIds();
  await rename(path('tickets'), path('unmounted'));
  await t.rejects(start(t, world), { message: /of the 2 tickets/ }, 'not without the workspaces');
  await rename(path('unmounted'), path('tickets'));
  // After a crash while the file was written.
  await writeFile(path('tickets', '.owner-id'), '');
  await start(t, world);
  t.equal(await readFile(path('tickets', '.owner-id'), 'utf8'), await readFile(path('data', 'owner-id'), 'utf8'));

  await deleteOwnerIds();
  await rm(path('tickets', 'EVEN'), { recursive: true });
  let workspaces = await start(t, world);
  t.equal(await workspaces.state('AHEAD'), 'present', 'one workspace is enough');

  await rm(path('tickets'), { recursive: true });
  await t.rejects(start(t, world), { message: /of the 1 tickets/ });
  await mkdir(path('tickets'));
  await cp(path('data', 'owner-id'), path('tickets', '.owner-id'));
  workspaces = await start(t, world);
  await workspaces.sync('AHEAD');
  t.equal(
    await readFile(path('tickets', 'AHEAD', 'mine.txt'), 'utf8'),
    'mine\n',
    'sync() restores the files of a lost TICKETS_ROOT',
  );
});
