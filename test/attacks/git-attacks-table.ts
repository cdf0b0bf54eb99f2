import { rename, rm } from 'node:fs/promises';
import t from 'tap';
import { AppError } from '../../src/errors/app-error.ts';
import { makeWorld, plainGit, repo, setUp, TOKEN } from '../workspaces/world.ts';
import { createArenas } from './git-arena.ts';
import { GIT_ATTACKS } from './git-attacks.ts';

/**
 * Runs every attack of the table on the server's git, with a whole clone that the agent controls.
 * `git-attacks.test.ts` runs this program as each user.
 */
const { github, dir, path, parentEnv } = await makeWorld(t);
const arenas = await createArenas(dir, github);
t.teardown(() => arenas.close());
// The operator's configuration offers programs that a repository can select.
const { workspaces } = setUp(dir, { ...parentEnv, HOME: arenas.home }, TOKEN);
t.teardown(() => workspaces.close());

for (const [index, { name, upstream = [], plant, refused }] of GIT_ATTACKS.entries()) {
  t.test(name, async (t) => {
    const ticketId = `A-${index}`;
    const repository = `acme/attack-${index}`;
    await arenas.addRepository(repository, upstream);
    await arenas.reset();
    await workspaces.create({ ticketId, repo: repo(repository) });
    const { workspace } = await workspaces.paths(ticketId);
    const arena = await arenas.enter(repository, `ticket_${ticketId}`, workspace);
    t.strictSame(await arenas.damage(arena, arenas.otherRefs(arena)), ['lost the work'], 'the clone does no harm');

    plainGit(['clone', '--quiet', '--no-checkout', `${dir}/github/${repository}.git`, path('clone')]);
    plainGit(['remote', 'set-url', 'origin', `${github.url}/${repository}.git`], { cwd: path('clone') });
    plainGit(['checkout', '--quiet', '-b', arena.branch], { cwd: path('clone') });
    await rm(`${workspace}/.git`);
    await rename(path('clone', '.git'), `${workspace}/.git`);
    await rm(path('clone'), { recursive: true });
    await arenas.writeChanges(arena);
    await plant?.(arena);
    await arenas.reset();

    const before = arenas.otherRefs(arena);
    const publish = async () => {
      await workspaces.commit(ticketId, { subject: 'Work' });
      await workspaces.push(ticketId);
    };
    const readAndPublish = async () => {
      await workspaces.status(ticketId);
      await workspaces.diff(ticketId);
      await publish();
    };
    if (refused !== undefined) {
      const error = await readAndPublish().catch((thrown: unknown) => thrown);
      t.ok(error instanceof AppError, 'the server refuses the operation');
      if (error instanceof AppError) t.equal(error.code, refused);
      t.strictSame(await arenas.damage(arena, before), ['lost the work']);
      return;
    }
    await readAndPublish();
    await arenas.moveUpstream(arena);
    const moved = arenas.otherRefs(arena);
    t.match(await workspaces.sync(ticketId), { updated: true });
    await publish();
    t.strictSame(await arenas.damage(arena, moved), []);
    await workspaces.remove(ticketId, repo(repository).url);
  });
}
