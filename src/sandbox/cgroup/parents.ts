import { existsSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Hierarchies, type Hierarchy, readHierarchies } from './hierarchies.ts';

export type CgroupLimits = {
  memoryMib: number;
  /** Processes and threads. */
  processes: number;
  /** CPUs in use at a time; unlimited when undefined. */
  cpus: number | undefined;
};

/** A folder for cgroups, and the limit files with their values of each cgroup in it. */
export type Parent = { folder: string; mount: string; limits: Readonly<Record<string, string>> };

/** Parent folders of the cgroups of sandboxes: one for cgroup v2, one per controller for cgroup v1. */
export type Parents = {
  version: 1 | 2;
  /** The first has the controller of memory. */
  parents: readonly Parent[];
  /** Name of the cgroup file with the line `oom_kill N`. */
  memoryEvents: string;
};

/** The reason why this process cannot create cgroups, as the end of a sentence. */
export class CgroupsUnavailable extends Error {}

const CONTROLLERS = ['memory', 'pids', 'cpu'];
const MIB = 1024 * 1024;
const CPU_PERIOD_US = 100_000;
/** The server's own cgroup beside those of its sandboxes (v2). systemd creates it (`DelegateSubgroup=`), or the server. */
const SERVER_LEAF = 'pullwright.server';

/**
 * Finds the parents of the cgroups of sandboxes: the server's own cgroups, so that its limits include its sandboxes.
 * With cgroup v2 the server first moves itself into a leaf.
 * @throws CgroupsUnavailable; system errors where the server lacks permissions
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
      // Memory and swap together. The kernel accepts it only after the limit of memory.
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
 * Turns the server's own cgroup into a parent. A cgroup with controllers for its children may not contain processes (the
 * "no internal process constraint"), so the server and its children move into a leaf. Refuses the root cgroup, and a
 * cgroup with processes that the server did not start, such as a login shell.
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
      throw new CgroupsUnavailable(`the server's cgroup also contains other processes (process ${pid})`);
    }
  }
}

/** Lists the process ids of a cgroup; 0 for each process of another PID namespace. */
export async function processesOf(folder: string): Promise<number[]> {
  return (await readFile(join(folder, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean).map(Number);
}

/** Returns whether a process is this one or descends from it; also true when it has just exited. */
async function isDescendant(pid: number): Promise<boolean> {
  if (pid === process.pid) return true;
  if (pid <= 1) return false;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The name, in parentheses, may contain any character.
  const [, parent] = stat?.replace(/^.*\) /s, '').split(' ') ?? [];
  return parent === undefined || isDescendant(Number(parent));
}

function ignoreExited(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ESRCH') throw error;
}
