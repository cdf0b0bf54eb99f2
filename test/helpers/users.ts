import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Owner, type ServerProcess, startServerProcess, type World } from './server.ts';

/** A user that a server can have. */
export type ServerUser = {
  name: 'root' | 'ordinary';
  /** Words before a command that runs it as this user. */
  prefix: readonly string[];
  /** Why a server cannot run as this user here, if so. */
  skip: false | string;
};

/** No user of the machine. */
const ORDINARY_UID = 12345;
const CHECKOUT = fileURLToPath(new URL('../../package.json', import.meta.url));

/** The users that a server can have: the one who runs the test and, where that is root, an ordinary user. */
export const SERVER_USERS: readonly ServerUser[] =
  process.getuid?.() === 0
    ? [
        { name: 'root', prefix: [], skip: false },
        user('ordinary', ['setpriv', `--reuid=${ORDINARY_UID}`, `--regid=${ORDINARY_UID}`, '--clear-groups']),
      ]
    : [{ name: 'ordinary', prefix: [], skip: false }];

function user(name: ServerUser['name'], prefix: readonly [string, ...string[]]): ServerUser {
  const [program, ...args] = prefix;
  const reads = spawnSync(program, [...args, 'test', '-r', CHECKOUT]).status === 0;
  return { name, prefix, skip: reads ? false : 'the checkout is in a folder of root, which other users cannot read' };
}

/** Gives files and folders with all that they hold to a user. */
export function giveTo({ prefix }: Pick<ServerUser, 'prefix'>, ...paths: readonly string[]): void {
  if (prefix.length > 0) execFileSync('chown', ['-R', `${ORDINARY_UID}:${ORDINARY_UID}`, '--', ...paths]);
}

/**
 * Starts a server of a user in a world that is its own.
 * @param within a command that runs the server, such as a tracer, as that user
 */
export async function startServerAs(
  t: Owner,
  world: World,
  user: ServerUser,
  settings: Record<string, string> = {},
  nodeArgs: readonly string[] = [],
  within: readonly string[] = [],
): Promise<ServerProcess> {
  const folders = [join(world.dir, 'data'), join(world.dir, 'tickets')];
  for (const folder of folders) await mkdir(folder, { recursive: true });
  // The stand-ins keep their files in the same folder.
  await chmod(world.dir, 0o755);
  giveTo(user, ...folders, dirname(world.github.socket));
  return startServerProcess(t, world, settings, nodeArgs, [...user.prefix, ...within]);
}
