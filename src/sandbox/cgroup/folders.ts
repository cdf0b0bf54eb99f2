import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { mkdir, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { hasCode } from '../../files/errors.ts';
import { killProcess } from '../processes/kill-process.ts';
import { type Parent, processesOf } from './parents.ts';

const REMOVAL_TIMEOUT_MS = 5000;
const REMOVAL_RETRY_INTERVAL_MS = 2;

/** PID namespace, id and start time of the server that created the cgroup, then random digits. */
const NAME = /^pullwright-(\d+)-(\d+)-(\d+)-[0-9a-f]+$/;

/**
 * Creates one cgroup: a folder with limits in each parent.
 * @returns the folders, in the order of the parents
 * @throws system errors, after removing the folders
 */
export async function makeCgroup(parents: readonly Parent[]): Promise<string[]> {
  const maker = [pidNamespace(), process.pid, startTime(process.pid)].join('-');
  const name = `pullwright-${maker}-${randomBytes(4).toString('hex')}`;
  const folders = parents.map(({ folder }) => join(folder, name));
  try {
    for (const { folder, limits } of parents) {
      await mkdir(join(folder, name));
      for (const [file, value] of Object.entries(limits)) await setLimit(join(folder, name, file), value);
    }
    return folders;
  } catch (error) {
    await removeCgroup(folders);
    throw error;
  }
}

/** Kills the processes of a cgroup and removes it. Gives up when a process does not exit in time. */
export async function removeCgroup(folders: readonly string[]): Promise<void> {
  await Promise.all(folders.map(removeFolder));
}

/** Removes the cgroups of servers that no longer run, anywhere in the hierarchies of the parents. */
export async function removeLeftovers(parents: readonly Parent[]): Promise<void> {
  const isLeftover = (name: string) => {
    const [, namespace, pid, start] = NAME.exec(name) ?? [];
    // A server of another PID namespace cannot be checked.
    return namespace !== undefined && namespace === pidNamespace() && startTime(Number(pid)) !== start;
  };
  for (const { mount } of parents) await removeCgroup(await findFolders(mount, isLeftover));
}

async function setLimit(file: string, value: string): Promise<void> {
  try {
    await writeFile(file, value, { flag: 'r+' });
  } catch (error) {
    // Kernels without swap accounting lack this file.
    if (!(hasCode(error, 'ENOENT') && /swap|memsw/.test(file))) throw error;
  }
}

async function removeFolder(folder: string): Promise<void> {
  const deadline = performance.now() + REMOVAL_TIMEOUT_MS;
  do {
    await killAll(folder);
    try {
      return await rmdir(folder);
    } catch (error) {
      // Killed processes take a moment to exit.
      if (!hasCode(error, 'EBUSY')) return;
    }
    await pause(REMOVAL_RETRY_INTERVAL_MS);
  } while (performance.now() < deadline);
}

async function killAll(folder: string): Promise<void> {
  try {
    // cgroup v2 since Linux 5.14.
    return await writeFile(join(folder, 'cgroup.kill'), '1', { flag: 'r+' });
  } catch {
    const pids = await processesOf(folder).catch(() => []);
    for (const pid of pids) if (pid > 0) killProcess(pid);
  }
}

async function findFolders(folder: string, matches: (name: string) => boolean): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const below = entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => (matches(name) ? [join(folder, name)] : findFolders(join(folder, name), matches)));
  return (await Promise.all(below)).flat();
}

function pidNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
}

/** Reads the start time in clock ticks after boot, field 22 of `/proc/PID/stat` in proc(5); undefined without a process. */
function startTime(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[19];
  } catch {
    return undefined;
  }
}
