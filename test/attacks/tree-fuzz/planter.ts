import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

const SCRIPT = readFileSync(new URL('plant.pl', import.meta.url), 'utf8');
/** In the command line of each process that plants. */
export const MARK = 'plants-a-hostile-tree';
/** Numbers of renameat2(2) and setxattr(2). */
const CALLS = process.arch === 'arm64' ? [276, 5] : [316, 188];

export type Planted = { stop(): Promise<void> };

/**
 * Plants a tree in a folder as its owner, who can write nowhere else: as root by the uid, else since all but the folder is
 * read-only. Resolves when it is planted; races go on.
 */
export async function plant(folder: string, steps: Buffer): Promise<Planted> {
  const perl = ['perl', '-e', SCRIPT, ...CALLS.map(String), MARK];
  const [file = '', ...args] = [...asOwner(folder), ...perl];
  const child = spawn(file, args, { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  // Not its exit: what it printed may be read later.
  const ended = once(child, 'close');
  const complaint = text(child.stderr);
  child.stdin.on('error', () => {});
  child.stdin.end(steps);
  const [word] = await Promise.race([once(child.stdout, 'data'), ended.then(() => [''])]);
  if (!String(word).startsWith('planted')) throw new Error(`the tree was not planted: ${await complaint}`);
  return {
    async stop() {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Nothing raced.
      }
      await ended;
    },
  };
}

function asOwner(folder: string): string[] {
  if (process.getuid?.() === 0) {
    const { uid } = lstatSync(folder);
    return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  }
  // In a user namespace, the devices of the host cannot be opened.
  const readOnly = ['--unshare-user', '--unshare-pid', '--die-with-parent', '--ro-bind', '/', '/', '--dev', '/dev'];
  return ['bwrap', ...readOnly, '--bind', folder, folder, '--chdir', folder, '--'];
}
