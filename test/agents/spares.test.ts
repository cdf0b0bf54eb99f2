import { existsSync, writeFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import { makeWorld } from './fixtures.ts';
import { scripted } from './scripted.ts';

t.test('a spare that a ticket takes while it is looked after is left alone', async (t) => {
  const world = await makeWorld(t);
  await rm(world.workspace, { recursive: true });
  await mkdir(join(dirname(world.workspace), '.staging'));
  const definition = scripted('deaf');
  let looked = Promise.withResolvers<void>();
  let launched = Promise.withResolvers<string>();
  const agents = world.agents({ AGENT: 'scripted', AGENT_POOL_SPARE: '1' }, [
    {
      ...definition,
      // Each look begins with this question.
      version() {
        looked.resolve();
        return definition.version();
      },
      prepareLaunch(options) {
        launched.resolve(options.workspace);
        return definition.prepareLaunch(options);
      },
    },
  ]);
  agents.start();
  while ((await agents.pool()).spare === 0) await new Promise((resolve) => setImmediate(resolve));
  looked = Promise.withResolvers();
  launched = Promise.withResolvers();
  await looked.promise;

  const folder = agents.claimSpare('T-1') ?? '';
  writeFileSync(join(folder, 'README.md'), '# Widgets\n');
  // The agent does not answer; the look is over when another spare is started.
  t.not(await launched.promise, folder);
  t.ok(existsSync(join(folder, 'README.md')), 'what was checked out into its folder is there');
  t.match(await agents.pool(), { working: 1 }, 'and so is the agent');
  await rename(folder, world.workspace);
  writeFileSync(join(world.workspace, '.git'), 'gitdir: /nowhere\n');
  await agents.attachSpare('T-1', world.workspace);
  const { said } = await world.prompt(agents, 'read', '[{"say":"Still here."}]', { agent: 'scripted' });
  t.equal(said, 'Still here.');
});
