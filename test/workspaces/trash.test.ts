import { mkdir, readdir, writeFile } from 'node:fs/promises';
import t from 'tap';
import { makeWorld } from './world.ts';

t.test('emptyTrash() deletes folders that an earlier removal left', async (t) => {
  const world = await makeWorld(t);
  for (const folder of ['data', 'tickets']) {
    const trash = world.path(folder, folder === 'data' ? 'trash' : '.trash');
    await mkdir(`${trash}/left/below`, { recursive: true });
    await writeFile(`${trash}/left/below/file`, 'x');
    await world.workspaces.maintenance.emptyTrash();
    await world.workspaces.maintenance.trashEmptied();
    t.strictSame(await readdir(trash), []);
  }
});
