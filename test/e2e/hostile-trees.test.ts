import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';
import { HOSTILE_TREES, objectsOf } from '../workspaces/hostile-trees.ts';

const world = await makeWorld(t);
const { gemini, github } = world;
const { directory } = await github.addRepository('acme/trees');
const server = await startServer(t, world, { MAX_WORKSPACE_MB: '64' });
const objects = objectsOf(directory);
const readme = objects.file('README.md', 'read me\n');
const create = (ticket_id: string) =>
  call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO.replace('duration', 'trees') });
const names = ['a link target of 5,000 bytes', 'a file name of 256 bytes', '10^12 files in nested folders'];
const trees = HOSTILE_TREES.filter(({ name }) => names.includes(name));

t.test('creation fails with a problem when the tree cannot be checked out', async (t) => {
  for (const { name, code, detail, nodes } of trees) {
    objects.commit([readme, ...nodes(objects)]);
    const { status, body } = await create('NEW-1');
    t.match({ status, body }, { status: 422, body: { code, detail, remedy: /branch in the repository/ } }, name);
    t.match(await call(server, 'GET', '/v1/tickets/NEW-1'), { status: 404 });
    const folders = (await readdir(join(world.dir, 'tickets'))).filter((folder) => !folder.startsWith('.'));
    t.strictSame(folders, []);
    t.strictSame(await readdir(join(world.dir, 'tickets', '.staging')), []);
  }
  objects.commit([readme]);
  t.match(await create('NEW-1'), { status: 201 }, 'creation succeeds once the branch is fixed');
});

t.test('a ticket stays at its commit when the new base cannot be checked out', async (t) => {
  objects.commit([readme]);
  t.match(await create('OLD-1'), { status: 201 });
  gemini.on('all the same', [{ text: 'yes' }]);
  for (const { name, code, detail, nodes } of trees) {
    objects.commit([readme, ...nodes(objects)]);
    t.match(await call(server, 'POST', '/v1/tickets/OLD-1/sync'), { status: 422, body: { code, detail } }, name);
    t.match(await create('OLD-1'), { status: 200 }, 'a repeated creation finds the ticket');
    const { run: asked, events: log } = await run(server, 'OLD-1', { action: 'chat', message: 'all the same?' });
    t.equal(asked.state, 'succeeded');
    const warnings = log.flatMap(({ type, data }) => (type === 'log' && data.level === 'warn' ? [data.text] : []));
    t.match(warnings, [/^The base branch was not merged: /]);
    objects.commit([readme]);
    t.match(await call(server, 'POST', '/v1/tickets/OLD-1/sync'), { status: 200, body: { updated: true } });
  }
  t.match((await call(server, 'GET', '/v1/tickets/OLD-1/diff')).body, { files: [] });
});
