import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { objectsOf } from './hostile-trees.ts';
import { makeWorld, plainGit, repo, setUp, TOKEN } from './world.ts';

/** Creates a ticket with uncommitted changes, and a base that changes, adds, deletes and replaces files. `hide` removes an object. */
async function setUpTicket(t: Test) {
  const world = await makeWorld(t);
  const { directory } = await world.github.addRepository('acme/widgets');
  const { file, folder, commit } = objectsOf(directory);
  const kept = file('kept.txt', 'kept\n');
  commit([
    file('README.md', 'old\n'),
    folder('becomes-file', file('x', 'x\n')),
    file('becomes-folder'),
    file('deleted'),
    kept,
  ]);
  await world.workspaces.create({ ticketId: 'M', repo: repo('acme/widgets') });
  const { workspace, gitDir, mirror } = await world.workspaces.paths('M');
  const { head: before } = await world.workspaces.status('M');
  await writeFile(`${workspace}/draft.txt`, 'draft\n');
  await writeFile(`${workspace}/kept.txt`, 'changed\n');

  const after = commit([
    file('README.md', 'new\n'),
    file('added.txt', 'added\n'),
    file('becomes-file', 'y\n'),
    folder('becomes-folder', file('z', 'z\n')),
    kept,
    folder('sub', file('hidden.txt', 'for a while\n')),
  ]);
  // An uncommitted change prevents the merge after the fetch.
  await writeFile(`${workspace}/README.md`, 'mine\n');
  t.match(await world.workspaces.sync('M'), { updated: false, notes: [/README/] });
  await writeFile(`${workspace}/README.md`, 'old\n');

  const blobPath = (name: string) => {
    const blob = plainGit(['--git-dir', gitDir, 'rev-parse', name]);
    return join(mirror, 'objects', blob.slice(0, 2), blob.slice(2));
  };
  const hide = async (name: string) => {
    const path = blobPath(name);
    await rename(path, `${path}-away`);
    return () => rename(`${path}-away`, path);
  };
  return { ...world, workspace, gitDir, before, after, hide };
}

type Ticket = Awaited<ReturnType<typeof setUpTicket>>;

async function assertUnmoved(t: Test, { workspaces, workspace, gitDir, before }: Ticket): Promise<void> {
  t.match(await workspaces.status('M'), { head: before, dirty: true });
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), ' M kept.txt\n?? draft.txt');
  const names = ['.git', 'README.md', 'becomes-file', 'becomes-folder', 'deleted', 'draft.txt', 'kept.txt'];
  t.strictSame((await readdir(workspace)).sort(), names);
  t.equal(await readFile(`${workspace}/README.md`, 'utf8'), 'old\n');
  t.notOk(existsSync(join(gitDir, 'moving')));
}

async function assertMoved(t: Test, { workspaces, workspace, after }: Ticket): Promise<void> {
  t.match(await workspaces.status('M'), { head: after, dirty: true });
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), ' M kept.txt\n?? draft.txt');
  t.equal(await readFile(`${workspace}/sub/hidden.txt`, 'utf8'), 'for a while\n');
}

t.test('sync() undoes a move that fails, and the next command retries it', async (t) => {
  const ticket = await setUpTicket(t);
  const { workspaces, workspace, hide } = ticket;
  const unhide = await hide('origin/main:sub/hidden.txt');
  for (const _ of [1, 2]) {
    await t.rejects(workspaces.sync('M'), {
      code: 'workspace_tampered',
      message: /^The new commits were not merged: .*hidden\.txt/,
      remedy: /The next command tries again/,
    });
    await assertUnmoved(t, ticket);
  }
  t.match(
    await workspaces.commit('M', { subject: 'Work' }),
    { commit: { filesChanged: 2 } },
    'commits are possible meanwhile',
  );
  await unhide();
  t.match(await workspaces.sync('M'), { updated: true });
  t.equal(await readFile(`${workspace}/sub/hidden.txt`, 'utf8'), 'for a while\n');
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), '');
});

t.test('recover() undoes an interrupted move when it cannot complete it', async (t) => {
  const ticket = await setUpTicket(t);
  const { dir, parentEnv, workspaces, workspace, gitDir, before, after, hide } = ticket;
  await workspaces.close();
  await hide('origin/main:sub/hidden.txt');
  await writeFile(join(gitDir, 'moving'), `${before} ${after}`);
  await rm(`${workspace}/becomes-folder`);
  await mkdir(`${workspace}/becomes-folder`);
  await writeFile(`${workspace}/added.txt`, 'add');
  await rm(`${workspace}/deleted`);
  const restarted = setUp(dir, parentEnv, TOKEN).workspaces;
  t.teardown(() => restarted.close());
  await restarted.recover();
  await assertUnmoved(t, { ...ticket, workspaces: restarted });
});

t.test('sync() completes a move later when it can neither complete nor undo it', async (t) => {
  const ticket = await setUpTicket(t);
  const { workspaces, hide } = ticket;
  const unhide = [await hide('origin/main:sub/hidden.txt'), await hide('HEAD:README.md')];
  for (const _ of [1, 2]) {
    await t.rejects(workspaces.sync('M'), {
      code: 'workspace_tampered',
      message: /^The workspace is between two commits: .*hidden\.txt/,
      remedy: /The next command completes the move/,
    });
  }
  for (const show of unhide) await show();
  t.match(await workspaces.sync('M'), { updated: false });
  await assertMoved(t, ticket);
});
