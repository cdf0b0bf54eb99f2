import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { createTreePrograms } from '../../src/trees/tree-programs.ts';
import { keepObjects } from '../../src/workspaces/worktree/scratch-results.ts';
import { withWorktree } from '../../src/workspaces/worktree/snapshot.ts';
import { makeWorld, plainGit, repo } from './world.ts';

t.test('withWorktree() fails only with canceled when it is aborted before it keeps objects', async (t) => {
  const world = await makeWorld(t);
  const { git, sandbox, workspaces } = world;
  const { confine, identities } = sandbox;
  await world.github.addRepository('acme/widgets');
  await workspaces.create({ ticketId: 'T-1', repo: repo('acme/widgets') });
  const paths = await workspaces.paths('T-1');
  const head = plainGit(['rev-parse', 'HEAD'], { cwd: paths.workspace });
  const programs = createTreePrograms(confine, identities);
  const tools = { git, programs, identities, staging: join(world.dir, 'data', 'staging') };
  const canceled = AbortSignal.abort();
  await t.rejects(
    withWorktree(tools, paths, canceled, (tree) => keepObjects(git, tree, head, head)),
    { code: 'canceled' },
  );
  await turn();
});
