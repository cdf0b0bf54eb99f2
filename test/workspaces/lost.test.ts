import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { makeWorld, plainGit, repo, setUp, TOKEN, type World } from './world.ts';

/** Workspaces of a server that starts now. */
async function start(t: Test, { dir, parentEnv }: World) {
  const { workspaces } = setUp(dir, parentEnv, TOKEN);
  t.teardown(() => workspaces.close());
  await workspaces.recover();
  return workspaces;
}

/** A ticket with a commit that nobody else has. */
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

t.test('a ticket whose files were removed keeps what it alone holds', async (t) => {
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
  t.equal(await workspaces.upkeep.place('AHEAD'), 'parked');
  t.match(await workspaces.create({ ticketId: 'AHEAD', repo: repo('acme/widgets') }), { created: false });
  t.equal(await readFile(`${committed}/mine.txt`, 'utf8'), 'mine\n', 'asked for again, it is there');
  t.equal(plainGit(['status', '--porcelain'], { cwd: committed }), '');
  await rm(committed, { recursive: true });
  await workspaces.sync('AHEAD');
  t.equal(await readFile(`${committed}/mine.txt`, 'utf8'), 'mine\n', 'a command brings it back, too');

  await lose();
  workspaces = await start(t, world);
  t.strictSame(await gitDirs(world), ['AHEAD.git', 'ELSEWHERE.git', 'KEPT.git'], 'what is pushed is fetched again');
  const { gitDir, mirror } = await workspaces.paths('KEPT');
  t.equal(plainGit(['--git-dir', gitDir, 'rev-parse', checkpoint?.ref ?? '']), checkpoint?.sha);
  t.match(plainGit(['--git-dir', mirror, 'for-each-ref', 'refs/tickets']), /refs\/tickets\/KEPT\//);
  await workspaces.sync('AHEAD');
  t.equal(await readFile(`${committed}/mine.txt`, 'utf8'), 'mine\n', 'after a start, too');
  t.match(await workspaces.create({ ticketId: 'PUSHED', repo: repo('acme/widgets') }), { created: true });
  t.equal(await readFile(`${pushed}/mine.txt`, 'utf8'), 'mine\n');

  await rm(committed, { recursive: true });
  await workspaces.remove('AHEAD', repo('acme/widgets').url);
  await rm(pushed, { recursive: true });
  await workspaces.remove('PUSHED', repo('acme/widgets').url);
  t.strictSame(await gitDirs(world), ['ELSEWHERE.git', 'KEPT.git'], 'a ticket that is deleted is gone');
});
