import { existsSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Hierarchies, type Hierarchy, readHierarchies } from './hierarchies.ts';

export type CgroupLimits = {
  memoryMib: number;
  /** Processes and threads. */
  processes: number;
  /** Processors used at once; no limit when undefined. */
  cpus: number | undefined;
};

/** A folder in which cgroups are made, and the files by which each is limited. */
export type Parent = { folder: string; mount: string; limits: Readonly<Record<string, string>> };

/** Where the cgroups of sandboxes are made: one folder for cgroup v2, one for each controller of cgroup v1. */
export type Parents = {
  version: 1 | 2;
  /** The first has the controller of memory. */
  parents: readonly Parent[];
  /** File of a cgroup with the line `oom_kill N`. */
  memoryEvents: string;
};

/** A reason why this process makes no cgroups; the message continues "Sandboxes are not limited as a whole: ". */
export class CgroupsUnavailable extends Error {}

const CONTROLLERS = ['memory', 'pids', 'cpu'];
const MIB = 1024 * 1024;
const CPU_PERIOD_US = 100_000;
/** The cgroup of the server itself where the parent of the sandboxes is cgroup v2: `DelegateSubgroup=` of systemd, or made here. */
const SERVER_LEAF = 'pullwright.server';

/**
 * Finds the parents of the cgroups of sandboxes. They are always the server's own cgroups, so that what limits the server
 * limits its sandboxes too. For cgroup v2 the server moves itself into a leaf first.
 * @throws CgroupsUnavailable, and the system's error where the server lacks the rights
 */
export async function findParents(limits: CgroupLimits): Promise<Parents> {
  const hierarchies = await readHierarchies();
  if (CONTROLLERS.some((controller) => hierarchies.v1.has(controller))) return parentsV1(hierarchies, limits);
  if (hierarchies.v2 === undefined) throw new CgroupsUnavailable('no cgroup file system is mounted');
  return parentsV2(hierarchies.v2, limits);
}

/** https://docs.kernel.org/admin-guide/cgroup-v1/index.html */
function parentsV1({ v1 }: Hierarchies, { memoryMib, processes, cpus }: CgroupLimits): Parents {
  const files: Record<string, Record<string, string>> = {
    memory: {
      'memory.limit_in_bytes': String(memoryMib * MIB),
      // Memory and swap together; only after the limit of memory.
      'memory.memsw.limit_in_bytes': String(memoryMib * MIB),
    },
    pids: { 'pids.max': String(processes) },
    cpu: cpus === undefined ? {} : { 'cpu.cfs_period_us': String(CPU_PERIOD_US), 'cpu.cfs_quota_us': quota(cpus) },
  };
  const parents = new Map<string, Parent>();
  for (const controller of CONTROLLERS) {
    const hierarchy = v1.get(controller);
    if (hierarchy === undefined) throw new CgroupsUnavailable(`the cgroup controller ${controller} is not mounted`);
    // Controllers may share a hierarchy.
    const limits = { ...parents.get(hierarchy.own)?.limits, ...files[controller] };
    parents.set(hierarchy.own, { folder: hierarchy.own, mount: hierarchy.mount, limits });
  }
  return { version: 1, parents: [...parents.values()], memoryEvents: 'memory.oom_control' };
}

/** https://docs.kernel.org/admin-guide/cgroup-v2.html */
async function parentsV2({ mount, own }: Hierarchy, { memoryMib, processes, cpus }: CgroupLimits): Promise<Parents> {
  const folder = await takeOver(mount, own);
  const limits = {
    'memory.max': String(memoryMib * MIB),
    'memory.swap.max': '0',
    'memory.oom.group': '1',
    'pids.max': String(processes),
    ...(cpus !== undefined && { 'cpu.max': `${quota(cpus)} ${CPU_PERIOD_US}` }),
  };
  return { version: 2, parents: [{ folder, mount, limits }], memoryEvents: 'memory.events' };
}

function quota(cpus: number): string {
  return String(cpus * CPU_PERIOD_US);
}

/**
 * Makes the server's own cgroup a parent of others. A cgroup with controllers for its children holds no processes (the
 * "no internal process constraint"), so the server and its children move into a leaf below. Only where nobody else is
 * affected: not in the root cgroup, and not where the cgroup holds a process that the server did not start, such as the
 * shell of a login session.
 */
async function takeOver(mount: string, own: string): Promise<string> {
  const moved = basename(own) === SERVER_LEAF && own !== mount;
  const parent = moved ? dirname(own) : own;
  // Every cgroup but the root has this file.
  if (!existsSync(join(parent, 'cgroup.type'))) throw new CgroupsUnavailable('the server runs in the root cgroup');
  const available = (await readFile(join(parent, 'cgroup.controllers'), 'utf8')).trim().split(' ');
  const missing = CONTROLLERS.filter((controller) => !available.includes(controller));
  if (missing.length > 0) {
    throw new CgroupsUnavailable(`the server's cgroup lacks the controllers ${missing.join(', ')}`);
  }
  if (!moved) await moveIntoLeaf(parent);
  await writeFile(join(parent, 'cgroup.subtree_control'), CONTROLLERS.map((controller) => `+${controller}`).join(' '));
  return parent;
}

async function moveIntoLeaf(parent: string): Promise<void> {
  const leaf = join(parent, SERVER_LEAF);
  await refuseForeignProcesses(parent);
  await mkdir(leaf, { recursive: true });
  try {
    for (let pids = await processesOf(parent); pids.length > 0; pids = await processesOf(parent)) {
      await refuseForeignProcesses(parent);
      for (const pid of pids) await writeFile(join(leaf, 'cgroup.procs'), String(pid)).catch(ignoreExited);
    }
  } catch (error) {
    await rmdir(leaf).catch(() => {});
    throw error;
  }
}

async function refuseForeignProcesses(folder: string): Promise<void> {
  for (const pid of await processesOf(folder)) {
    if (!(await isDescendant(pid))) {
      throw new CgroupsUnavailable(`the server's cgroup also holds other processes (process ${pid})`);
    }
  }
}

/** Ids of the processes in a cgroup; 0 stands for each of another PID namespace. */
export async function processesOf(folder: string): Promise<number[]> {
  return (await readFile(join(folder, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean).map(Number);
}

/** Whether a process is this one or descends from it. One that has just ended counts as such. */
async function isDescendant(pid: number): Promise<boolean> {
  if (pid === process.pid) return true;
  if (pid <= 1) return false;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The name, in parentheses, may hold anything.
  const [, parent] = stat?.replace(/^.*\) /s, '').split(' ') ?? [];
  return parent === undefined || isDescendant(Number(parent));
}

function ignoreExited(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ESRCH') throw error;
}
