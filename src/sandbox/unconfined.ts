import { mkdir, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { CHILD_MARK } from '../config/child-mark.ts';
import { NO_INSPECTOR } from './bubblewrap/no-inspector.ts';
import { listenOnLoopback } from './socket-forward.ts';
import type { Confinement } from './types.ts';

/**
 * Runs processes on the host without isolation, with few variables and a separate home. For development without bubblewrap.
 * @param parentEnv environment of the server; processes inherit PATH and the mark of its children
 */
export function createUnconfined(parentEnv: Readonly<Record<string, string | undefined>>): Confinement {
  const path = [dirname(process.execPath), parentEnv.PATH ?? '/usr/local/bin:/usr/bin:/bin'].join(delimiter);

  const mark = parentEnv[CHILD_MARK];

  return {
    kind: 'none',
    path: (mount) => mount.host,
    layout: ({ workspace, home }) => ({ workspace, home, node: process.execPath }),
    forward: listenOnLoopback,
    async command({ argv: [file, ...args], env, workspace, home }) {
      const HOME = home?.folder ?? tmpdir();
      for (const [path, host] of Object.entries(home?.writable ?? {})) await link(host, join(HOME, path));
      return {
        file,
        args: file === process.execPath ? [NO_INSPECTOR, ...args] : args,
        env: {
          PATH: path,
          HOME,
          LANG: 'C.UTF-8',
          GIT_OPTIONAL_LOCKS: '0',
          ...(mark && { [CHILD_MARK]: mark }),
          ...env,
        },
        cwd: workspace,
        inputs: [],
      };
    },
  };
}

/** Links a path to a folder unless the path exists. */
async function link(folder: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await symlink(folder, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}
