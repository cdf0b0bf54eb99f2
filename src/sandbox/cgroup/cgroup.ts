import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Config } from '../../config/load-config.ts';
import { AppError } from '../../errors/app-error.ts';
import { runProcess } from '../processes/run-process.ts';
import { startProcess } from '../processes/start-process.ts';
import type { Command, Exit, SandboxedProcess } from '../types.ts';
import { makeCgroup, removeCgroup, removeLeftovers } from './folders.ts';
import { CgroupsUnavailable, findParents, type Parents } from './parents.ts';

const OOM_CHECK_INTERVAL_MS = 1000;

/** Enters the cgroups whose `cgroup.procs` files come before `--`, then executes the program after it. */
const ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"';

const REMEDY =
  'Start the server as a systemd service with Delegate=yes, such as deploy/pullwright.service. In a container, set limits for memory, processes and CPUs on the container itself.';

export type CgroupCheck = { ok: true; version: 1 | 2 } | { ok: false; detail: string; remedy: string };

export type Cgroups = {
  /** Checks once, by starting a process in a cgroup, whether a sandbox can be limited as a whole. */
  check(): Promise<CgroupCheck>;
  /**
   * Starts a command in a new cgroup. When the command exits, all remaining processes of the cgroup are killed.
   * @throws AppError `agent_unavailable` when the cgroup cannot be created; system errors like `startProcess`
   */
  start(command: Command): Promise<SandboxedProcess>;
};

/**
 * Limits memory, processes and CPUs of each sandbox as a whole by a control group. Cgroup v2 requires that the server's
 * own cgroup is delegated to it. Cgroup v1 requires that the server may create cgroups below its own.
 */
export function createCgroups(
  config: Pick<Config, 'SANDBOX_MEMORY_MB'> & Partial<Pick<Config, 'SANDBOX_CPUS'>>,
  processes: number,
): Cgroups {
  const limits = { memoryMib: config.SANDBOX_MEMORY_MB, processes, cpus: config.SANDBOX_CPUS };
  let usable: Promise<Parents> | undefined;

  function parents(): Promise<Parents> {
    // A second attempt: another server may change the same hierarchy at the same time.
    usable ??= findUsable().catch(findUsable);
    return usable;
  }

  async function findUsable(): Promise<Parents> {
    const found = await findParents(limits);
    await removeLeftovers(found.parents);
    const folders = await makeCgroup(found.parents);
    const trial = await start(folders, found, {
      file: 'cat',
      args: ['/proc/self/cgroup'],
      env: {},
      cwd: '/',
      inputs: [],
    });
    const { output } = await runProcess(trial, { timeoutMs: 60_000, maxOutputBytes: 65_536 });
    const names = output.split('\n').map((line) => basename(line));
    if (folders.some((folder) => !names.includes(basename(folder)))) {
      throw new CgroupsUnavailable(`a process did not enter its cgroup (${output.trim()})`);
    }
    return found;
  }

  async function start(folders: readonly string[], { memoryEvents }: Parents, command: Command) {
    try {
      const child = await startProcess(enterCgroups(folders, command));
      return killOnOutOfMemory(child, folders, join(folders[0] ?? '', memoryEvents));
    } catch (error) {
      await removeCgroup(folders);
      throw error;
    }
  }

  function killOnOutOfMemory(child: SandboxedProcess, folders: readonly string[], events: string): SandboxedProcess {
    const outOfMemory = async () => ((await countOomKills(events)) > 0 ? { limitMib: limits.memoryMib } : undefined);
    // cgroup v1 kills a single process; a sandbox that lost one is of no use.
    const timer = setInterval(() => void outOfMemory().then((excess) => excess && child.kill()), OOM_CHECK_INTERVAL_MS);
    timer.unref();
    const exited = child.exited.then(async (exit): Promise<Exit> => {
      clearInterval(timer);
      const excess = await outOfMemory();
      // A command that lost a process counts as killed whatever its exit code, as with cgroup v2.
      return excess ? { code: null, signal: 'SIGKILL', outOfMemory: excess } : exit;
    });
    const removed = exited.then(() => removeCgroup(folders));
    return {
      ...child,
      exited,
      async kill() {
        await child.kill();
        await removed;
      },
    };
  }

  return {
    async check() {
      try {
        const { version } = await parents();
        return { ok: true, version };
      } catch (error) {
        return { ok: false, detail: `no cgroup limits a sandbox as a whole: ${describeError(error)}`, remedy: REMEDY };
      }
    },
    async start(command) {
      const found = await parents();
      const folders = await makeCgroup(found.parents).catch((cause) => {
        const detail = `The cgroup of the sandbox could not be created: ${describeError(cause)}.`;
        throw new AppError('agent_unavailable', detail, { cause, remedy: 'Restart the server.' });
      });
      return start(folders, found, command);
    },
  };
}

function enterCgroups(folders: readonly string[], { file, args, ...command }: Command): Command {
  const files = folders.map((folder) => join(folder, 'cgroup.procs'));
  return { ...command, file: 'sh', args: ['-c', ENTER, 'sh', ...files, '--', file, ...args] };
}

/** Counts the out-of-memory kills in a cgroup: `oom_kill` of memory.events (v2) or memory.oom_control (v1). */
async function countOomKills(file: string): Promise<number> {
  const events = await readFile(file, 'utf8').catch(() => '');
  return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0);
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'the server may not create cgroups',
  EPERM: 'the server may not create cgroups',
  EROFS: 'the cgroup file system is mounted read-only',
};

function describeError(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return REASONS[code] ?? (error instanceof Error ? error.message : String(error));
}
