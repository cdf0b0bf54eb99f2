import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Owner, type ServerProcess, startServerProcess, type World } from './server.ts';

/** A user that a server can run as. */
export type ServerUser = {
  name: 'root' | 'ordinary';
  /** Prefix of a command that runs as this user. */
  prefix: readonly string[];
  /** The reason why a server cannot run as this user on this machine, or false. */
  skip: false | string;
};

/** The id of no user of the machine. */
const ORDINARY_UID = 12345;
const CHECKOUT = fileURLToPath(new URL('../../package.json', import.meta.url));

/** The user of this process and, if that is root, an ordinary user. */
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

/** Changes the owner of files and folders recursively. */
export function chownTo({ prefix }: Pick<ServerUser, 'prefix'>, ...paths: readonly string[]): void {
  if (prefix.length > 0) execFileSync('chown', ['-R', `${ORDINARY_UID}:${ORDINARY_UID}`, '--', ...paths]);
}

/**
 * Starts a server as a user, who becomes the owner of its folders.
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
  chownTo(user, ...folders, dirname(world.github.socket));
  return startServerProcess(t, world, settings, nodeArgs, [...user.prefix, ...within]);
}
