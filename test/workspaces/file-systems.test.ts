import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { noSmallDisks } from '../helpers/small-disks.ts';
import { type Node, type Objects, objectsOf } from './hostile-trees.ts';
import { makeWorld } from './world.ts';

const EXT4 =
  'truncate -s 16M "$DISK/image" && mkfs.ext4 -q -b 1024 "$DISK/image" && mount -o loop "$DISK/image" "$DISK/tickets"';

/** Creates a ticket on a tree in a process whose TICKETS_ROOT is a separate file system. */
async function createOn(t: Test, mount: string, nodes: (objects: Objects) => Node[]): Promise<unknown> {
  const { github, parentEnv, path } = await makeWorld(t);
  const { directory } = await github.addRepository('acme/widgets');
  const objects = objectsOf(directory);
  objects.commit(nodes(objects));
  await mkdir(path('disk', 'tickets'), { recursive: true });
  const worker = fileURLToPath(new URL('worker.ts', import.meta.url));
  const command = [process.execPath, worker, path('disk'), 'create', 'acme/widgets', 'SMALL', '0'];
  const child = spawn('unshare', ['--mount', 'sh', '-c', `${mount} && exec "$@"`, 'sh', ...command], {
    env: { ...parentEnv, DISK: path('disk') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return JSON.parse(output);
}

t.test('create() fails with disk_full when files or bytes do not fit', { skip: await noSmallDisks() }, async (t) => {
  const tmpfs = (options: string) => `mount -t tmpfs -o ${options} none "$DISK/tickets"`;
  const files = ({ file, many }: Objects) => many(400, file('f', Buffer.alloc(8000)));
  const room = /^The checkout needs 4 MiB, and 2 MiB are free\.$/;
  t.match(await createOn(t, tmpfs('size=2m'), files), { code: 'disk_full', message: room });
  const inodes = /^The checkout consists of 400 files and folders, and the disk has room for 2\d\d\.$/;
  t.match(await createOn(t, tmpfs('size=32m,nr_inodes=300'), files), { code: 'disk_full', message: inodes });
  t.match(await createOn(t, tmpfs('size=32m,nr_inodes=600'), files), { commands: Number });
});

t.test('create() refuses a link when the file system limits its target', { skip: cannotMountExt4() }, async (t) => {
  const refusal = {
    code: 'path_unsupported',
    message: /link is a link with a target of 2000 bytes \(at most 10\d\d\)/,
  };
  t.match(await createOn(t, EXT4, ({ link }) => [link('link', 'x'.repeat(2000))]), refusal);
  t.match(await createOn(t, EXT4, ({ link }) => [link('link', 'x'.repeat(1000))]), { commands: Number });
});

function cannotMountExt4(): string | false {
  const script = `DISK=$(mktemp -d) && mkdir "$DISK/tickets" && ${EXT4}; result=$?; umount "$DISK/tickets"; rm -r "$DISK"; exit $result`;
  try {
    execFileSync('unshare', ['--mount', 'sh', '-c', script], { stdio: 'ignore' });
    return false;
  } catch {
    return 'an ext4 cannot be made and mounted here';
  }
}
