import { lstat, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { commitEntries, makeWorld, plainGit, repo, setUp, TOKEN } from './world.ts';

const FILES = Array.from({ length: 1200 }, (_, n) => ({ path: `d${n % 10}/${n}.txt`, content: `file ${n}\n` }));
const TOP = [
  { path: 'README.md', content: 'read me\n' },
  { path: 'umläut', content: 'bytes\n' },
];

/** Creates a large repository. `nextSpare` resolves when the next spare checkout is ready. */
async function setUpRepository(t: Test, settings: { SPARE_CHECKOUTS?: number } = {}) {
  const listeners: (() => void)[] = [];
  const stream = {
    write(line: string) {
      if (JSON.parse(line).msg === 'spare checkout ready') for (const resolve of listeners.splice(0)) resolve();
    },
  };
  const logger = pino({}, stream);
  const world = await makeWorld(t, { SPARE_CHECKOUTS: 3, logger, ...settings });
  const { directory } = await world.github.addRepository('acme/many', { empty: true });
  commitEntries(directory, [...FILES, ...TOP]);
  const create = async (ticketId: string, folder?: string) => {
    const prepared = await world.workspaces.prepare({ ticketId, repo: repo('acme/many') });
    return world.workspaces.materialize(prepared, { folder });
  };
  return {
    ...world,
    directory,
    create,
    nextSpare: () => new Promise<void>((resolve) => listeners.push(resolve)),
    /** Lists the folders of spare checkouts. */
    spares: () => readdir(world.path('tickets', '.staging')),
    inode: async (...names: string[]) => (await lstat(world.path('tickets', ...names))).ino,
    read: (...names: string[]) => readFile(world.path('tickets', ...names), 'utf8'),
  };
}

t.test('create() uses a spare checkout when one is ready', async (t) => {
  const { workspaces, create, nextSpare, spares, inode, read, path } = await setUpRepository(t);
  const first = nextSpare();
  await create('S-1');
  await first;
  const [folder = ''] = await spares();
  const spareInode = await inode('.staging', folder, 'd7', '7.txt');

  const second = nextSpare();
  await create('S-2');
  t.equal(await inode('S-2', 'd7', '7.txt'), spareInode);
  t.not(await inode('S-1', 'd7', '7.txt'), spareInode, 'tickets share no file');
  t.equal(await read('S-2', 'umläut'), 'bytes\n');
  t.match(await workspaces.status('S-2'), { dirty: false, unpushed: false });
  t.equal(plainGit(['status', '--porcelain'], { cwd: path('tickets', 'S-2') }), '');
  await writeFile(path('tickets', 'S-2', 'd1', '1.txt'), 'changed in place\n', { flag: 'r+' });
  t.match(await workspaces.commit('S-2', { subject: 'Change' }), { commit: { filesChanged: 1 } });

  await second;
  await create('S-3');
  t.equal(await read('S-3', 'd1', '1.txt'), 'file 1\n');
});

t.test('create() updates a spare checkout when the base branch has new commits', async (t) => {
  const { workspaces, directory, create, nextSpare, read, spares, path } = await setUpRepository(t);
  const ready = nextSpare();
  await create('N-1');
  await ready;
  const [folder = ''] = await spares();
  commitEntries(directory, [
    { path: 'd1/1.txt', content: 'newer\n' },
    { path: 'added/here.txt', content: 'added\n' },
    { path: 'd2', content: 'a file instead of a folder\n' },
  ]);
  const { head } = await create('N-2');
  t.notOk((await spares()).includes(folder), 'the spare checkout was used');
  t.equal(await read('N-2', 'd1', '1.txt'), 'newer\n');
  t.equal(await read('N-2', 'added', 'here.txt'), 'added\n');
  t.equal(await read('N-2', 'd2'), 'a file instead of a folder\n');
  t.match(await workspaces.status('N-2'), { dirty: false, head, base: head });
  t.equal(plainGit(['status', '--porcelain'], { cwd: path('tickets', 'N-2') }), '');
});

t.test('materialize() moves a spare checkout into the folder of a spare agent', async (t) => {
  const { workspaces, sandbox, directory, create, nextSpare, spares, inode, read, path } = await setUpRepository(t);
  const ready = nextSpare();
  await create('P-1');
  await ready;
  const [folder = ''] = await spares();
  const spareInode = await inode('.staging', folder, 'd7', '7.txt');
  commitEntries(directory, [{ path: 'README.md', content: 'read me again\n' }]);
  const agentFolder = path('tickets', '.staging', 'spare-agent');
  await mkdir(agentFolder);
  await sandbox.identities.assign(agentFolder);
  const spareAgent = await inode('.staging', 'spare-agent');
  await create('P-2', agentFolder);
  t.equal(await inode('P-2'), spareAgent);
  t.equal(await inode('P-2', 'd7', '7.txt'), spareInode);
  t.equal(await read('P-2', 'README.md'), 'read me again\n', 'new commits are checked out there too');
  t.match(await workspaces.status('P-2'), { dirty: false });
});

t.test('create() gives each ticket separate files when several start at once', async (t) => {
  const { workspaces, create, nextSpare, inode } = await setUpRepository(t);
  const ready = nextSpare();
  await create('A-0');
  await ready;
  const ids = ['A-1', 'A-2', 'A-3', 'A-4'];
  const again = nextSpare();
  await Promise.all(ids.map((id) => create(id)));
  for (const id of ids) t.match(await workspaces.status(id), { dirty: false });
  t.equal(new Set(await Promise.all(ids.map((id) => inode(id, 'd3', '3.txt')))).size, ids.length);
  await again;
});

t.test('create() succeeds when an earlier attempt failed with a spare checkout', async (t) => {
  const { workspaces, create, nextSpare, spares, path, read } = await setUpRepository(t);
  const ready = nextSpare();
  await create('F-1');
  await ready;
  const agentFolder = path('tickets', '.staging', 'taken');
  await mkdir(agentFolder);
  await writeFile(join(agentFolder, 'd1'), 'in the way');
  await t.rejects(create('F-2', agentFolder));
  t.strictSame(await spares(), []);
  await t.rejects(workspaces.paths('F-2'), { code: 'ticket_not_found' });
  await create('F-2');
  t.equal(await read('F-2', 'd1', '1.txt'), 'file 1\n');
});

t.test('create() deletes the oldest spare checkout when their number exceeds SPARE_CHECKOUTS', async (t) => {
  const { workspaces, github, create, nextSpare, spares } = await setUpRepository(t, { SPARE_CHECKOUTS: 1 });
  const { directory } = await github.addRepository('acme/more', { empty: true });
  commitEntries(directory, FILES);
  let ready = nextSpare();
  await create('M-1');
  await ready;
  const [first] = await spares();
  ready = nextSpare();
  await workspaces.create({ ticketId: 'M-2', repo: repo('acme/more') });
  await ready;
  await workspaces.close();
  t.notOk((await spares()).includes(first ?? ''));
});

t.test('close() and recover() delete spare checkouts', async (t) => {
  const { workspaces, create, nextSpare, spares, path, dir, parentEnv } = await setUpRepository(t);
  const ready = nextSpare();
  await create('E-1');
  await ready;
  t.equal((await spares()).length, 1);
  await workspaces.close();
  t.strictSame(await spares(), []);
  t.strictSame(await readdir(path('data', 'staging')), []);

  // A leftover of a killed server.
  await mkdir(path('tickets', '.staging', 'left', 'd1'), { recursive: true });
  const next = setUp(dir, parentEnv, TOKEN).workspaces;
  t.teardown(() => next.close());
  await next.recover();
  t.strictSame(await spares(), []);
  t.match(await next.status('E-1'), { dirty: false });
});

t.test('removeUnusedMirrors() deletes spare checkouts', async (t) => {
  const { workspaces, create, nextSpare, spares, path } = await setUpRepository(t);
  const ready = nextSpare();
  await create('R-1');
  await ready;
  await workspaces.maintenance.removeUnusedMirrors();
  t.strictSame(await spares(), []);
  // A spare checkout that somebody deleted is ignored.
  const again = nextSpare();
  await create('R-2');
  await again;
  const [folder = ''] = await spares();
  await rename(path('tickets', '.staging', folder), path('gone'));
  await rm(path('gone'), { recursive: true });
  await create('R-3');
  t.match(await workspaces.status('R-3'), { dirty: false });
});
