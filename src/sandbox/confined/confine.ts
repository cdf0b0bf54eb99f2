import { existsSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { CHILD_MARK } from '../../config/child-mark.ts';
import type { Config } from '../../config/load-config.ts';
import { type BwrapOption, bwrapCommand } from '../bubblewrap/bwrap-command.ts';
import { isolation, switchUser, type User } from '../bubblewrap/isolation.ts';
import { hideFolders, isWithin, parents, systemPrograms } from '../bubblewrap/system-mounts.ts';
import type { Identities } from '../identity.ts';
import { limitCommand } from '../resource-limits.ts';
import type { Command, Mount } from '../types.ts';

/** Limits at which the kernel stops a program. */
export type ProgramLimits = { cpuSeconds: number; memoryMib: number; fileMib: number };

/** A program of the server that works on files which an agent wrote or can write. */
export type ConfinedProgram = {
  /** Program and arguments, without secrets: every user of the host can read them. */
  argv: readonly [string, ...string[]];
  env?: Readonly<Record<string, string>>;
  /** The folder whose owner the program becomes when the server is root; `file-admin` for files of any owner. */
  user: { ownerOf: string } | 'file-admin';
  /** Absolute host paths, visible at the same path. */
  readable: readonly string[];
  writable: readonly string[];
  /** Files of the server, visible at another path. */
  mounts?: readonly Mount[];
  limits: ProgramLimits;
};

/** Returns the command that runs a program which sees only its paths and the system's programs. */
export type Confine = (program: ConfinedProgram) => Promise<Command>;

const SYSTEM = ['/usr', '/bin', '/sbin'];
const MIB = 1024 * 1024;
const MAX_OPEN_FILES = 1024;
const MAX_PROCESSES = 256;

/**
 * Confines the server's own programs, without network and /proc. An agent can replace a file by a link between two system
 * calls of a program, so checks in the program do not protect it. A link cannot lead to a file that the program does not see.
 * With `SANDBOX=none` the program runs unconfined.
 * @param parentEnv environment of the server; only PATH is used
 */
export function createConfine(
  config: Pick<Config, 'SANDBOX' | 'DATA_DIR' | 'TICKETS_ROOT'>,
  identities: Identities,
  parentEnv: Readonly<Record<string, string | undefined>>,
): Confine {
  const path = parentEnv.PATH ?? '/usr/local/bin:/usr/bin:/bin';

  if (config.SANDBOX === 'none') {
    const mark = parentEnv[CHILD_MARK];
    return async ({ argv, env, mounts = [] }) => {
      const [file = '', ...args] = argv.map((arg) => mounts.find(({ inside }) => inside === arg)?.host ?? arg);
      return { file, args, env: { PATH: path, ...(mark && { [CHILD_MARK]: mark }), ...env }, cwd: '/', inputs: [] };
    };
  }

  return async ({ argv, env = {}, user, readable, writable, mounts = [], limits }) => {
    const { PATH: _, ...variables } = env;
    const as = userFor(identities, user);
    const extra = foldersOutsideSystem(argv[0], path);
    const options: BwrapOption[] = [
      ...isolation(as),
      ...systemPrograms(),
      ...['--dev', '/dev'],
      ...(await hideFolders([config.DATA_DIR, config.TICKETS_ROOT])),
      ...parents([...mounts.map(({ inside }) => inside), ...extra, ...readable, ...writable]),
      ...extra.flatMap(samePath('--ro-bind')),
      ...mounts.flatMap(({ host, inside }) => ['--ro-bind', host, inside]),
      ...readable.flatMap(samePath('--ro-bind')),
      ...writable.flatMap(samePath('--bind')),
      ...Object.entries({ PATH: path, ...variables }).flatMap(([name, value]) => ['--setenv', name, value]),
      ...['--chdir', '/', '--remount-ro', '/dev', '--remount-ro', '/'],
    ];
    return bwrapCommand(options, [...limitsCommand(limits), ...switchUser(as), ...argv]);
  };
}

function userFor(identities: Identities, user: ConfinedProgram['user']): User {
  if (user !== 'file-admin') return identities.of(user.ownerOf) ?? 'server';
  return process.getuid?.() === 0 ? 'file-admin' : 'server';
}

function samePath(option: string): (path: string) => string[] {
  return (path) => [option, path, path];
}

/** Returns the PATH folder of a program unless it is a system folder. */
function foldersOutsideSystem(program: string, path: string): string[] {
  if (isAbsolute(program)) return [];
  const folder = path
    .split(delimiter)
    .find((candidate) => isAbsolute(candidate) && existsSync(join(candidate, program)));
  return folder === undefined || SYSTEM.some((system) => isWithin(system, folder)) ? [] : [folder];
}

function limitsCommand({ cpuSeconds, memoryMib, fileMib }: ProgramLimits): string[] {
  const bytes = { data: memoryMib * MIB, fsize: fileMib * MIB, core: 0 };
  return limitCommand({ cpu: cpuSeconds, ...bytes, nofile: MAX_OPEN_FILES, nproc: MAX_PROCESSES });
}
