import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { noneLeft, processesIn } from '../helpers/processes.ts';
import { commitEntries, makeWorld, plainGit, repo, setUp, TOKEN, type World } from './world.ts';

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));

type Action = 'create' | 'sync' | 'commit';

/** Runs an action in a process that kills itself after `after` git commands. Returns whether it was killed. */
async function killed(
  { dir, parentEnv }: World,
  action: Action,
  name: string,
  ticketId: string,
  after: number,
): Promise<boolean> {
  const args = [WORKER, dir, action, name, ticketId, String(after)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: parentEnv }).catch((error) => error);
  if (stdout === '') return true;
  if (!/^\{"commands":\d+\}$/.test(stdout.trim())) throw new Error(`the worker failed: ${stdout}`);
  return false;
}

/** Opens the workspaces as a server does after a crash. */
async function restart(t: Test, { dir, parentEnv }: World) {
  const { workspaces } = setUp(dir, parentEnv, TOKEN);
  await workspaces.recover();
  t.teardown(() => workspaces.close());
  return workspaces;
}

async function assertClean(t: Test, { path }: World, workspace: string): Promise<void> {
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), '');
  plainGit(['fsck', '--connectivity-only'], { cwd: workspace });
  t.strictSame(await readdir(path('data', 'staging')), []);
  t.strictSame(await readdir(path('tickets', '.staging')), []);
  const names = await readdir(path('data'), { recursive: true });
  t.strictSame(
    names.filter((name) => /\.lock$|tmp_|^gitdirs\/[^/]+\/moving$/.test(name)),
    [],
  );
}

t.test('create() succeeds after a crash of an earlier one at any git command', async (t) => {
  const world = await makeWorld(t);
  await world.github.addRepository('acme/known');
  await world.workspaces.create({ ticketId: 'KNOWN', repo: repo('acme/known') });

  for (const mirror of ['new', 'known']) {
    for (let after = mirror === 'new' ? 1 : 3; ; after += 1) {
      const name = mirror === 'new' ? `acme/new-${after}` : 'acme/known';
      if (mirror === 'new') await world.github.addRepository(name);
      await world.github.commit(name, { files: { 'file.txt': `${after}\n` } });
      const ticketId = `${mirror}-${after}`;
      if (!(await killed(world, 'create', name, ticketId, after))) {
        t.ok(after > 5, 'the process was killed after several commands');
        break;
      }
      const workspaces = await restart(t, world);
      await t.rejects(workspaces.paths(ticketId), { code: 'ticket_not_found' }, `killed after ${after} commands`);
      t.match(await workspaces.create({ ticketId, repo: repo(name) }), { created: true });
      await assertClean(t, world, (await workspaces.paths(ticketId)).workspace);
    }
  }
});

t.test('create() succeeds after a crash during a git command or between its two renames', async (t) => {
  const world = await makeWorld(t);
  await world.github.addRepository('acme/orphans');
  const hanging = world.github.hang({ match: /POST .*upload-pack/ });
  const { parentEnv, dir, path } = world;
  const running = execFile(
    process.execPath,
    [WORKER, dir, 'create', 'acme/orphans', 'C-1', '0'],
    { env: parentEnv },
    () => {},
  );
  await hanging;
  running.kill('SIGKILL');
  t.ok(processesIn('acme/orphans').length > 0, 'git outlives the server');
  let workspaces = await restart(t, world);
  t.match(await workspaces.create({ ticketId: 'C-1', repo: repo('acme/orphans') }), { created: true });
  for (const { pid } of processesIn('acme/orphans')) terminate(pid);
  await noneLeft('acme/orphans');

  const { workspace, gitDir, mirror } = await workspaces.paths('C-1');
  await assertClean(t, world, workspace);
  await rename(workspace, path('tickets', '.staging', 'unpublished'));
  await mkdir(`${gitDir}/refs/heads`, { recursive: true });
  for (const lock of ['index.lock', 'refs/heads/ticket_C-1.lock', 'packed-refs.lock'])
    await writeFile(`${gitDir}/${lock}`, '');
  await mkdir(`${mirror}/refs/fetched`, { recursive: true });
  for (const leftover of ['packed-refs.lock', 'config.lock', 'refs/fetched/x.lock', 'objects/pack/tmp_pack_x']) {
    await writeFile(`${mirror}/${leftover}`, '');
  }
  workspaces = await restart(t, world);
  await t.rejects(workspaces.paths('C-1'), { code: 'ticket_not_found' });
  t.equal(
    plainGit(['--git-dir', mirror, 'for-each-ref', 'refs/tickets']),
    '',
    'no ref is left of a ticket that does not exist',
  );
  t.match(await workspaces.create({ ticketId: 'C-1', repo: repo('acme/orphans') }), { created: true });
  await assertClean(t, world, workspace);
});

t.test('recover() completes a sync or leaves it undone after a crash at any git command', async (t) => {
  const world = await makeWorld(t);
  const { directory } = await world.github.addRepository('acme/widgets');
  commitEntries(directory, [
    { path: 'changed.txt', content: 'old\n' },
    { path: 'deleted/file.txt', content: 'old\n' },
    { path: 'becomes', content: 'a file\n' },
    { path: 'mine.txt', content: 'old\n' },
  ]);
  await world.workspaces.create({ ticketId: 'S-1', repo: repo('acme/widgets') });
  const { workspace, gitDir } = await world.workspaces.paths('S-1');
  await writeFile(`${workspace}/committed.txt`, 'mine\n');
  await world.workspaces.commit('S-1', { subject: 'Mine' });
  await writeFile(`${workspace}/mine.txt`, 'not committed\n');
  await writeFile(`${workspace}/untracked.txt`, 'not committed\n');
  const { head } = await world.workspaces.status('S-1');
  const upstream = 'reset refs/heads/main\ncommit refs/heads/main\ncommitter S <s@x> 1767600000 +0000\ndata 1\nx\n';
  const from = plainGit(['--git-dir', directory, 'rev-parse', 'main']);
  const tree = [
    'M 100644 inline changed.txt\ndata 4\nnew\n\n',
    'D deleted/file.txt\nD becomes\n',
    'M 100644 inline becomes/folder.txt\ndata 4\nnew\n\n',
    'M 100644 inline added.txt\ndata 4\nnew\n\n',
  ];
  plainGit(['--git-dir', directory, 'fast-import', '--quiet', '--force'], {
    input: `${upstream}from ${from}\n${tree.join('')}\n`,
  });
  await cp(world.path('data'), world.path('before', 'data'), { recursive: true, preserveTimestamps: true });
  await cp(world.path('tickets'), world.path('before', 'tickets'), { recursive: true, preserveTimestamps: true });

  const assertMoved = async (t: Test, point: string) => {
    t.equal(await readFile(`${workspace}/changed.txt`, 'utf8'), 'new\n', point);
    t.equal(await readFile(`${workspace}/added.txt`, 'utf8'), 'new\n');
    t.equal(await readFile(`${workspace}/becomes/folder.txt`, 'utf8'), 'new\n');
    t.equal(await readFile(`${workspace}/mine.txt`, 'utf8'), 'not committed\n');
    t.equal(await readFile(`${workspace}/untracked.txt`, 'utf8'), 'not committed\n');
    t.notOk((await readdir(workspace)).includes('deleted'));
    t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), ' M mine.txt\n?? untracked.txt', point);
  };
  const restoreFolders = async () => {
    for (const folder of ['data', 'tickets']) {
      await rm(world.path(folder), { recursive: true });
      await cp(world.path('before', folder), world.path(folder), { recursive: true, preserveTimestamps: true });
    }
  };

  // The first commands only fetch.
  for (let after = 4; ; after += 1) {
    const wasKilled = await killed(world, 'sync', 'acme/widgets', 'S-1', after);
    if (wasKilled) {
      const workspaces = await restart(t, world);
      const status = await workspaces.status('S-1');
      if (status.head !== head) await assertMoved(t, `killed after ${after} commands`);
      await workspaces.sync('S-1');
    }
    await assertMoved(t, `synced again, after ${after} commands`);
    if (!wasKilled) break;
    await restoreFolders();
  }

  // A move that stopped in the middle of the files: some are new, some deleted, the others old.
  await restoreFolders();
  const next = await merge(world);
  await writeFile(`${gitDir}/moving`, `${head} ${next}`);
  await rm(`${workspace}/deleted`, { recursive: true });
  await writeFile(`${workspace}/changed.txt`, 'new\n');
  await writeFile(`${workspace}/added.txt`, 'ne');
  await restart(t, world);
  await assertMoved(t, 'completed by recover()');
});

t.test('commit() takes effect fully or not at all after a crash at any git command', async (t) => {
  const world = await makeWorld(t);
  await world.github.addRepository('acme/widgets');
  for (let after = 1; ; after += 1) {
    const ticketId = `M-${after}`;
    await world.workspaces.create({ ticketId, repo: repo('acme/widgets') });
    const { workspace } = await world.workspaces.paths(ticketId);
    await writeFile(`${workspace}/new.txt`, 'new\n');
    await rm(`${workspace}/README.md`);
    const wasKilled = await killed(world, 'commit', 'acme/widgets', ticketId, after);
    const workspaces = await restart(t, world);
    if (wasKilled) await workspaces.commit(ticketId, { subject: 'Commit after the crash' });
    t.match(await workspaces.status(ticketId), { ahead: 1, dirty: false }, `killed after ${after} commands`);
    t.equal(plainGit(['ls-tree', '-r', '--name-only', 'HEAD'], { cwd: workspace }), 'new.txt');
    await assertClean(t, world, workspace);
    if (!wasKilled) break;
  }
});

t.test('recover() opens the other tickets when one is broken', async (t) => {
  const world = await makeWorld(t);
  await world.github.addRepository('acme/widgets');
  for (const ticketId of ['BROKEN', 'LINK', 'WELL']) {
    await world.workspaces.create({ ticketId, repo: repo('acme/widgets') });
  }
  const { head } = await world.workspaces.status('LINK');
  const { gitDir, workspace } = await world.workspaces.paths('LINK');
  await writeFile(`${gitDir}/moving`, `${head} ${head}`);
  await rename(workspace, world.path('elsewhere'));
  await symlink(world.path('elsewhere'), workspace);
  await writeFile(world.path('data', 'gitdirs', 'BROKEN.git', 'pullwright.json'), '{"ticket_');

  const workspaces = await restart(t, world);
  await t.rejects(workspaces.status('BROKEN'));
  await t.rejects(workspaces.sync('LINK'), { code: 'workspace_tampered' });
  t.match(await workspaces.sync('WELL'), { updated: false });
  const { mirror } = await workspaces.paths('WELL');
  const kept = plainGit(['--git-dir', mirror, 'for-each-ref', '--format=%(refname)', 'refs/tickets']);
  t.strictSame(new Set(kept.split('\n').map((ref) => ref.split('/')[2])), new Set(['BROKEN', 'LINK', 'WELL']));
});

/** Terminates a process that may have exited with another. */
function terminate(pid: number): void {
  try {
    process.kill(pid);
  } catch {
    // It has exited.
  }
}

/** Makes the commit of a sync in the git directory of the ticket. */
async function merge({ workspaces, git, path }: World): Promise<string> {
  const { gitDir } = await workspaces.paths('S-1');
  const where = { gitDir };
  const [ours, theirs] = ['refs/heads/ticket_S-1', 'refs/remotes/origin/main'];
  const remote = plainGit(['--git-dir', path('github', 'acme', 'widgets.git'), 'rev-parse', 'main']);
  plainGit(['--git-dir', gitDir, 'fetch', '--quiet', path('github', 'acme', 'widgets.git'), `main:${theirs}`]);
  const tree = (await git.run(['merge-tree', '--write-tree', ours, theirs], where)).stdout.toString().trim();
  const made = await git.run(['commit-tree', '-p', ours, '-p', remote, '-m', 'x', tree], where);
  return made.stdout.toString().trim();
}

t.test('remove() deletes the empty folder of refs that git leaves in a mirror on a full disk', async (t) => {
  const world = await makeWorld(t);
  await world.github.addRepository('acme/widgets');
  await world.workspaces.create({ ticketId: 'KEPT', repo: repo('acme/widgets') });
  const refs = `${(await world.workspaces.paths('KEPT')).mirror}/refs/tickets`;
  await mkdir(`${refs}/GONE`);
  await world.workspaces.remove('GONE', repo('acme/widgets').url);
  t.strictSame(await readdir(refs), ['KEPT']);
  await mkdir(`${refs}/GONE`);
  await restart(t, world);
  t.strictSame(await readdir(refs), ['KEPT'], 'recover() deletes it too');
});
