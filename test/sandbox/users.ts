import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ownKeyring } from '../../src/sandbox/own-keyring.ts';
import type { RunResult } from '../../src/sandbox/run-process.ts';
import type { Order } from './in-sandbox.ts';

const RUNNER = fileURLToPath(new URL('in-sandbox.ts', import.meta.url));
/** No user of the machine. */
const ORDINARY = ['setpriv', '--reuid=12345', '--regid=12345', '--clear-groups'];

export type User = { name: string; skip: false | string; run(order: Order): Promise<RunResult[]> };

/** The users that a server may be: who runs the test and, where that is root, an ordinary user. */
export const USERS: readonly User[] =
  process.getuid?.() === 0 ? [user('root', []), user('ordinary', ORDINARY)] : [user('ordinary', [])];

/** A user whose processes have a session keyring, as systemd, PAM and container engines give one to a server. */
function user(name: string, prefix: readonly string[]): User {
  const [file = '', ...args] = [...prefix, ...ownKeyring(), process.execPath, RUNNER];
  const reads = prefix.length === 0 || spawnSync('setpriv', [...prefix.slice(1), 'test', '-r', RUNNER]).status === 0;
  return {
    name,
    skip: reads ? false : 'the checkout is in a folder of root, which other users cannot read',
    async run(order) {
      const { stdout } = await promisify(execFile)(file, [...args, JSON.stringify(order)], { maxBuffer: 2 ** 24 });
      return JSON.parse(stdout);
    },
  };
}
