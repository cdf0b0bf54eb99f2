import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import t from 'tap';
import { commitEntries, makeWorld, plainGit, repo, setUp, TOKEN } from './world.ts';

t.test('backup() copies all readable tickets and reports what it leaves out when some are broken', async (t) => {
  const world = await makeWorld(t);
  const { path, workspaces } = world;
  const { directory } = await world.github.addRepository('acme/widgets');
  for (const ticketId of ['BROKEN', 'HALF', 'LINK', 'LOST', 'WELL']) {
    await workspaces.create({ ticketId, repo: repo('acme/widgets') });
  }
  await writeFile(path('data', 'gitdirs', 'BROKEN.git', 'pullwright.json'), '{"ticket_');
  const link = await workspaces.paths('LINK');
  const lost = await workspaces.paths('LOST');
  for (const [ticketId, folder] of [
    ['LINK', link.workspace],
    ['LOST', lost.workspace],
  ] as const) {
    await writeFile(`${folder}/mine.txt`, 'mine\n');
    await workspaces.commit(ticketId, { subject: 'Mine' });
  }
  await rm(lost.workspace, { recursive: true });
  await rename(link.workspace, path('elsewhere'));
  await symlink(path('elsewhere'), link.workspace);

  const { workspace, mirror } = await workspaces.paths('HALF');
  commitEntries(directory, [
    { path: 'README.md', content: 'new\n' },
    { path: 'hidden.txt', content: 'hidden\n' },
  ]);
  await writeFile(`${workspace}/README.md`, 'uncommitted\n');
  t.match(await workspaces.sync('HALF'), { notes: [/README/] }, 'fetched, but not merged');
  plainGit(['checkout', '--quiet', 'README.md'], { cwd: workspace });
  await writeFile(`${workspace}/draft.txt`, 'draft\n');
  // Neither the new files nor the old ones can be written.
  const blobs = ['origin/main:hidden.txt', 'HEAD:README.md'].map((name) => {
    const sha = plainGit(['rev-parse', name], { cwd: workspace });
    return `${mirror}/objects/${sha.slice(0, 2)}/${sha.slice(2)}`;
  });
  for (const blob of blobs) await rename(blob, `${blob}-away`);
  await t.rejects(workspaces.sync('HALF'), { code: 'workspace_tampered', message: /hidden\.txt/ });

  const { tickets, leftOut } = await workspaces.maintenance.backup(path('saved'));
  t.strictSame(tickets.sort(), ['HALF', 'LINK', 'LOST', 'WELL']);
  const reported = leftOut.map(({ ticket_id, what }) => `${ticket_id}: ${what}`).sort();
  t.match(reported, [
    /^BROKEN: all of it: .*pullwright\.json/,
    /^HALF: .* a move .*hidden\.txt/,
    /^LINK: uncommitted work: /,
  ]);
  t.equal(reported.length, 3);
  t.strictSame((await readdir(path('saved', 'gitdirs'))).sort(), ['HALF.git', 'LINK.git', 'LOST.git', 'WELL.git']);

  // Restored to the same paths, because git directories contain the path of the mirror.
  for (const folder of ['data', 'tickets']) await rename(path(folder), path(`${folder}-before`));
  await rename(path('saved'), path('data'));
  await mkdir(path('tickets'));
  for (const blob of blobs) await rename(`${blob}-away`, blob);
  const restored = setUp(world.dir, world.parentEnv, TOKEN).workspaces;
  t.teardown(() => restored.close());
  await restored.recover();
  for (const ticketId of ['LINK', 'LOST']) t.match(await restored.status(ticketId), { ahead: 1, unpushed: true });
  await restored.sync('HALF');
  t.equal(await readFile(`${workspace}/hidden.txt`, 'utf8'), 'hidden\n', 'the move is completed');
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), '?? draft.txt');
  t.equal(await readFile(`${workspace}/draft.txt`, 'utf8'), 'draft\n', 'the uncommitted file is restored');
  await rm(path('tickets-before'), { recursive: true });
});

t.test('backup() continues when a file name looks like an error of the disk', async (t) => {
  const world = await makeWorld(t);
  const { workspaces } = world;
  await world.github.addRepository('acme/widgets');
  for (const ticketId of ['NAMED', 'WELL']) await workspaces.create({ ticketId, repo: repo('acme/widgets') });
  const { workspace } = await workspaces.paths('NAMED');
  await writeFile(`${workspace}/No space left on device`, 'x', { mode: 0 });
  const { tickets, leftOut } = await workspaces.maintenance.backup(world.path('saved'));
  t.strictSame(tickets.sort(), ['NAMED', 'WELL']);
  t.match(leftOut, [{ ticket_id: 'NAMED', what: /^uncommitted work: / }]);
});
