import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

const SCRIPT = readFileSync(new URL('plant.pl', import.meta.url), 'utf8');
/** A mark in the command line of each planting process. */
export const MARK = 'plants-a-hostile-tree';
/** Numbers of renameat2(2) and setxattr(2). */
const CALLS = process.arch === 'arm64' ? [276, 5] : [316, 188];

export type Planted = { stop(): Promise<void> };

/**
 * Plants a tree in a folder as its owner, who cannot write elsewhere: as root by the uid, else by a sandbox whose other
 * files are read-only. Resolves when the tree is planted; its races continue.
 */
export async function plant(folder: string, steps: Buffer): Promise<Planted> {
  const perl = ['perl', '-e', SCRIPT, ...CALLS.map(String), MARK];
  const [file = '', ...args] = [...asOwner(folder), ...perl];
  const child = spawn(file, args, { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  // Unlike `exit`, `close` waits for the output.
  const closed = once(child, 'close');
  const errors = text(child.stderr);
  child.stdin.on('error', () => {});
  child.stdin.end(steps);
  const [output] = await Promise.race([once(child.stdout, 'data'), closed.then(() => [''])]);
  if (!String(output).startsWith('planted')) throw new Error(`the tree was not planted: ${await errors}`);
  return {
    async stop() {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // No race is running.
      }
      await closed;
    },
  };
}

function asOwner(folder: string): string[] {
  if (process.getuid?.() === 0) {
    const { uid } = lstatSync(folder);
    return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  }
  // A user namespace cannot open the devices of the host.
  const readOnly = ['--unshare-user', '--unshare-pid', '--die-with-parent', '--ro-bind', '/', '/', '--dev', '/dev'];
  return ['bwrap', ...readOnly, '--bind', folder, folder, '--chdir', folder, '--'];
}
