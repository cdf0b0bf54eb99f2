import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Owner } from './server.ts';

const run = promisify(execFile);

/** Returns the reason why this machine cannot make small disks, or false. */
export async function noSmallDisks(): Promise<string | false> {
  try {
    await run('unshare', ['--mount', 'true']);
    return false;
  } catch {
    return 'mounting a small file system needs Linux and root';
  }
}

/**
 * Creates small file systems in memory, one per name and size such as `64m`, that only the processes of one mount
 * namespace see. They exist until the test ends, even if its server crashes.
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
    /** Prefix of a command that runs in the namespace of the disks. */
    within,
    /** Returns a path on a disk that this process can open. */
    path: (...parts: string[]) => join(`/proc/${holder.pid}/root`, dir, ...parts),
    async remount(name: string, mode: 'ro' | 'rw'): Promise<void> {
      const [program = '', ...args] = [...within, 'mount', '-o', `remount,${mode}`, join(dir, name)];
      await run(program, args);
    },
  };
}
