// Runs before the suite (`npm test`): a server compiles the agent once, and all test servers use its cache.
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { COMPILED_AGENT, makeWorld, startServer } from './server.ts';

const teardowns: (() => unknown)[] = [];
const owner = { teardown: (task: () => unknown) => teardowns.unshift(task) };
try {
  const world = await makeWorld(owner);
  const server = await startServer(owner, world, { AGENT_POOL_SPARE: '1' });
  await server.logged(({ msg }) => msg === 'spare agent ready');
  await rm(COMPILED_AGENT, { recursive: true, force: true });
  await cp(join(world.dir, 'data/agent-compile-cache'), COMPILED_AGENT, { recursive: true });
} finally {
  for (const teardown of teardowns) await teardown();
}
