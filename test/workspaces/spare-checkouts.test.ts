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

/** A world with a large repository; `spared` resolves at the next spare checkout that is ready. */
async function setTheStage(t: Test, settings: { SPARE_CHECKOUTS?: number } = {}) {
  const waiting: (() => void)[] = [];
  const stream = {
    write(line: string) {
      if (JSON.parse(line).msg === 'spare checkout ready') for (const tell of waiting.splice(0)) tell();
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
    spared: () => new Promise<void>((resolve) => waiting.push(resolve)),
    /** Folders with files that wait. */
    waiting: () => readdir(world.path('tickets', '.staging')),
    inode: async (...names: string[]) => (await lstat(world.path('tickets', ...names))).ino,
    read: (...names: string[]) => readFile(world.path('tickets', ...names), 'utf8'),
  };
}

t.test('the next ticket is given files that wait', async (t) => {
  const { workspaces, create, spared, waiting, inode, read, path } = await setTheStage(t);
  const first = spared();
  await create('S-1');
  await first;
  const [folder = ''] = await waiting();
  const waited = await inode('.staging', folder, 'd7', '7.txt');

  const second = spared();
  await create('S-2');
  t.equal(await inode('S-2', 'd7', '7.txt'), waited);
  t.not(await inode('S-1', 'd7', '7.txt'), waited, 'nothing is shared');
  t.equal(await read('S-2', 'umläut'), 'bytes\n');
  t.match(await workspaces.status('S-2'), { dirty: false, unpushed: false });
  t.equal(plainGit(['status', '--porcelain'], { cwd: path('tickets', 'S-2') }), '');
  await writeFile(path('tickets', 'S-2', 'd1', '1.txt'), 'changed in place\n', { flag: 'r+' });
  t.match(await workspaces.commit('S-2', { subject: 'Change' }), { commit: { filesChanged: 1 } });

  await second;
  await create('S-3');
  t.equal(await read('S-3', 'd1', '1.txt'), 'file 1\n');
});

t.test('what is new since then is brought in', async (t) => {
  const { workspaces, directory, create, spared, read, waiting, path } = await setTheStage(t);
  const ready = spared();
  await create('N-1');
  await ready;
  const [folder = ''] = await waiting();
  commitEntries(directory, [
    { path: 'd1/1.txt', content: 'newer\n' },
    { path: 'added/here.txt', content: 'added\n' },
    { path: 'd2', content: 'a file in the place of a folder\n' },
  ]);
  const { head } = await create('N-2');
  t.notOk((await waiting()).includes(folder), 'it was used');
  t.equal(await read('N-2', 'd1', '1.txt'), 'newer\n');
  t.equal(await read('N-2', 'added', 'here.txt'), 'added\n');
  t.equal(await read('N-2', 'd2'), 'a file in the place of a folder\n');
  t.match(await workspaces.status('N-2'), { dirty: false, head, base: head });
  t.equal(plainGit(['status', '--porcelain'], { cwd: path('tickets', 'N-2') }), '');
});

t.test('files go into the folder in which an agent waits', async (t) => {
  const { workspaces, sandbox, directory, create, spared, waiting, inode, read, path } = await setTheStage(t);
  const ready = spared();
  await create('P-1');
  await ready;
  const [folder = ''] = await waiting();
  const waited = await inode('.staging', folder, 'd7', '7.txt');
  commitEntries(directory, [{ path: 'README.md', content: 'read me again\n' }]);
  const place = path('tickets', '.staging', 'slot');
  await mkdir(place);
  await sandbox.identities.assign(place);
  const slot = await inode('.staging', 'slot');
  await create('P-2', place);
  t.equal(await inode('P-2'), slot);
  t.equal(await inode('P-2', 'd7', '7.txt'), waited);
  t.equal(await read('P-2', 'README.md'), 'read me again\n', 'what is new is brought in there, too');
  t.match(await workspaces.status('P-2'), { dirty: false });
});

t.test('of tickets that are created at once, one has the files that wait and each has its own', async (t) => {
  const { workspaces, create, spared, inode } = await setTheStage(t);
  const ready = spared();
  await create('A-0');
  await ready;
  const ids = ['A-1', 'A-2', 'A-3', 'A-4'];
  const again = spared();
  await Promise.all(ids.map((id) => create(id)));
  for (const id of ids) t.match(await workspaces.status(id), { dirty: false });
  t.equal(new Set(await Promise.all(ids.map((id) => inode(id, 'd3', '3.txt')))).size, ids.length);
  await again;
});

t.test('a creation that fails leaves nothing, and the next one works', async (t) => {
  const { workspaces, create, spared, waiting, path, read } = await setTheStage(t);
  const ready = spared();
  await create('F-1');
  await ready;
  const place = path('tickets', '.staging', 'taken');
  await mkdir(place);
  await writeFile(join(place, 'd1'), 'in the way');
  await t.rejects(create('F-2', place));
  t.strictSame(await waiting(), []);
  await t.rejects(workspaces.paths('F-2'), { code: 'ticket_not_found' });
  await create('F-2');
  t.equal(await read('F-2', 'd1', '1.txt'), 'file 1\n');
});

t.test('as many repositories as wanted have one', async (t) => {
  const { workspaces, github, create, spared, waiting } = await setTheStage(t, { SPARE_CHECKOUTS: 1 });
  const { directory } = await github.addRepository('acme/more', { empty: true });
  commitEntries(directory, FILES);
  let ready = spared();
  await create('M-1');
  await ready;
  const [first] = await waiting();
  ready = spared();
  await workspaces.create({ ticketId: 'M-2', repo: repo('acme/more') });
  await ready;
  await workspaces.close();
  t.notOk((await waiting()).includes(first ?? ''));
});

t.test('none outlives the server, however it ends', async (t) => {
  const { workspaces, create, spared, waiting, path, dir, parentEnv } = await setTheStage(t);
  const ready = spared();
  await create('E-1');
  await ready;
  t.equal((await waiting()).length, 1);
  await workspaces.close();
  t.strictSame(await waiting(), []);
  t.strictSame(await readdir(path('data', 'staging')), []);

  // As a killed server leaves it.
  await mkdir(path('tickets', '.staging', 'left', 'd1'), { recursive: true });
  const next = setUp(dir, parentEnv, TOKEN).workspaces;
  t.teardown(() => next.close());
  await next.recover();
  t.strictSame(await waiting(), []);
  t.match(await next.status('E-1'), { dirty: false });
});

t.test('making room removes them', async (t) => {
  const { workspaces, create, spared, waiting, path } = await setTheStage(t);
  const ready = spared();
  await create('R-1');
  await ready;
  await workspaces.maintenance.removeUnusedMirrors();
  t.strictSame(await waiting(), []);
  // The one that a hand removed is no loss either.
  const again = spared();
  await create('R-2');
  await again;
  const [folder = ''] = await waiting();
  await rename(path('tickets', '.staging', folder), path('gone'));
  await rm(path('gone'), { recursive: true });
  await create('R-3');
  t.match(await workspaces.status('R-3'), { dirty: false });
});
