import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Owner } from './server.ts';

const run = promisify(execFile);

/** Why no small disk can be made here, or false. */
export async function noSmallDisks(): Promise<string | false> {
  try {
    await run('unshare', ['--mount', 'true']);
    return false;
  } catch {
    return 'mounting a small file system needs Linux and the right to (root)';
  }
}

/**
 * Makes small file systems in memory, one per name and size such as `64m`, that only the processes of one mount
 * namespace see. They last until the test is over, whatever happens to a server in it.
 */
export async function makeSmallDisks(t: Owner, dir: string, sizes: Record<string, string>) {
  const mounts: string[] = [];
  for (const [name, size] of Object.entries(sizes)) {
    await mkdir(join(dir, name));
    mounts.push(`mount -t tmpfs -o size=${size},mode=755 none '${join(dir, name)}'`);
  }
  const script = `${mounts.join(' && ')} && echo ready && exec sleep infinity`;
  const holder = spawn('unshare', ['--mount', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(async () => {
    holder.kill('SIGKILL');
    await once(holder, 'exit');
  });
  await once(holder.stdout, 'data');
  const within = ['nsenter', `--mount=/proc/${holder.pid}/ns/mnt`, '--'];
  return {
    /** Put before a command, runs it where the disks are. */
    within,
    /** A path on one of them, as this process can open it. */
    path: (...parts: string[]) => join(`/proc/${holder.pid}/root`, dir, ...parts),
    async remount(name: string, mode: 'ro' | 'rw'): Promise<void> {
      const [program = '', ...args] = [...within, 'mount', '-o', `remount,${mode}`, join(dir, name)];
      await run(program, args);
    },
  };
}
