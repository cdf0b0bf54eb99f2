import { existsSync, writeFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import { makeWorld } from './fixtures.ts';
import { scripted } from './scripted.ts';

t.test('a sweep leaves a spare agent alone when a ticket claims it meanwhile', async (t) => {
  const world = await makeWorld(t);
  await rm(world.workspace, { recursive: true });
  await mkdir(join(dirname(world.workspace), '.staging'));
  const definition = scripted('deaf');
  let swept = Promise.withResolvers<void>();
  let launched = Promise.withResolvers<string>();
  const agents = world.agents({ AGENT: 'scripted', AGENT_POOL_SPARE: '1' }, [
    {
      ...definition,
      // Each sweep starts with this call.
      version() {
        swept.resolve();
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
  swept = Promise.withResolvers();
  launched = Promise.withResolvers();
  await swept.promise;

  const folder = agents.claimSpare('T-1') ?? '';
  writeFileSync(join(folder, 'README.md'), '# Widgets\n');
  // The agent does not answer. The sweep is over when it starts the next spare.
  t.not(await launched.promise, folder);
  t.ok(existsSync(join(folder, 'README.md')), 'the files in its folder are kept');
  t.match(await agents.pool(), { working: 1 }, 'the agent keeps running');
  await rename(folder, world.workspace);
  writeFileSync(join(world.workspace, '.git'), 'gitdir: /nowhere\n');
  await agents.attachSpare('T-1', world.workspace);
  const { answer } = await world.prompt(agents, 'read', '[{"say":"Still here."}]', { agent: 'scripted' });
  t.equal(answer, 'Still here.');
});
