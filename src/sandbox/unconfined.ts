import { tmpdir } from 'node:os';
import { delimiter, dirname } from 'node:path';
import { serveOnLoopback } from './service.ts';
import type { Confinement } from './types.ts';

/**
 * No walls: the process is one of the host, with few variables and a home of its own. For development where there is
 * no bubblewrap.
 * @param parentEnv environment of the server, of which only PATH is passed on
 */
export function createUnconfined(parentEnv: Readonly<Record<string, string | undefined>>): Confinement {
  const path = [dirname(process.execPath), parentEnv.PATH ?? '/usr/local/bin:/usr/bin:/bin'].join(delimiter);

  return {
    kind: 'none',
    path: (place) => place.host,
    layout: ({ workspace, home }) => ({ workspace, home, node: process.execPath }),
    serve: serveOnLoopback,
    async command({ argv: [file, ...args], env, workspace, home }) {
      const HOME = home?.folder ?? tmpdir();
      return {
        file,
        args,
        env: { PATH: path, HOME, LANG: 'C.UTF-8', GIT_OPTIONAL_LOCKS: '0', ...env },
        cwd: workspace,
      };
    },
  };
}
