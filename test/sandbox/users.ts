import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { newSessionKeyring } from '../../src/sandbox/bubblewrap/session-keyring.ts';
import type { RunResult } from '../../src/sandbox/processes/run-process.ts';
import { SERVER_USERS, type ServerUser } from '../helpers/users.ts';
import type { Order } from './in-sandbox.ts';

const RUNNER = fileURLToPath(new URL('in-sandbox.ts', import.meta.url));
export type User = { name: string; skip: false | string; run(order: Order): Promise<RunResult[]> };

export const USERS: readonly User[] = SERVER_USERS.map(user);

/** Runs processes as a user with a session keyring, which systemd, PAM and container engines create for a server. */
function user({ name, skip, prefix }: ServerUser): User {
  const [file = '', ...args] = [...prefix, ...newSessionKeyring(), process.execPath, RUNNER];
  return {
    name,
    skip,
    async run(order) {
      const { stdout } = await promisify(execFile)(file, [...args, JSON.stringify(order)], { maxBuffer: 2 ** 24 });
      return JSON.parse(stdout);
    },
  };
}
