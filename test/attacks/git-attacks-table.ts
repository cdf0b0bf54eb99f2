import { rename, rm } from 'node:fs/promises';
import t from 'tap';
import { AppError } from '../../src/errors/app-error.ts';
import { makeWorld, plainGit, repo, setUp, TOKEN } from '../workspaces/world.ts';
import { createArenas } from './git-arena.ts';
import { GIT_ATTACKS } from './git-attacks.ts';

/**
 * Carries out every attack of the table against the server's own git, with all that a clone has in the agent's hands.
 * `git-attacks.test.ts` runs this program as each user that a server can have.
 */
const { github, dir, path, parentEnv } = await makeWorld(t);
const arenas = await createArenas(dir, github);
t.teardown(() => arenas.close());
// The operator's own configuration is hostile too, as far as repositories can ask for what it offers.
const { workspaces } = setUp(dir, { ...parentEnv, HOME: arenas.home }, TOKEN);
t.teardown(() => workspaces.close());

for (const [index, { name, upstream = [], plant, refused }] of GIT_ATTACKS.entries()) {
  t.test(name, async (t) => {
    const ticketId = `A-${index}`;
    const repository = `acme/attack-${index}`;
    await arenas.addRepository(repository, upstream);
    await arenas.forget();
    await workspaces.create({ ticketId, repo: repo(repository) });
    const { workspace } = await workspaces.paths(ticketId);
    const arena = await arenas.enter(repository, `ticket_${ticketId}`, workspace);
    t.strictSame(
      await arenas.damage(arena, arenas.refsOfOthers(arena)),
      ['kept the work out'],
      'nothing came of the clone',
    );

    plainGit(['clone', '--quiet', '--no-checkout', `${dir}/github/${repository}.git`, path('clone')]);
    plainGit(['remote', 'set-url', 'origin', `${github.url}/${repository}.git`], { cwd: path('clone') });
    plainGit(['checkout', '--quiet', '-b', arena.branch], { cwd: path('clone') });
    await rm(`${workspace}/.git`);
    await rename(path('clone', '.git'), `${workspace}/.git`);
    await rm(path('clone'), { recursive: true });
    await arenas.work(arena);
    await plant?.(arena);
    await arenas.forget();

    const before = arenas.refsOfOthers(arena);
    const publish = async () => {
      await workspaces.status(ticketId);
      await workspaces.diff(ticketId);
      await workspaces.commit(ticketId, { subject: 'Work' });
      await workspaces.push(ticketId);
    };
    if (refused !== undefined) {
      const error = await publish().catch((thrown: unknown) => thrown);
      t.ok(error instanceof AppError, 'it is refused');
      if (error instanceof AppError) t.equal(error.code, refused);
      t.strictSame(await arenas.damage(arena, before), ['kept the work out']);
      return;
    }
    await publish();
    await arenas.moveUpstream(arena);
    const moved = arenas.refsOfOthers(arena);
    t.match(await workspaces.sync(ticketId), { updated: true });
    await publish();
    t.strictSame(await arenas.damage(arena, moved), []);
    await workspaces.remove(ticketId, repo(repository).url);
  });
}
