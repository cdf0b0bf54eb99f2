import { mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import SQLite from 'better-sqlite3';
import type { Logger } from '../config/logger.ts';
import { STORE_FILE } from './store-file.ts';

/** Several times within the shortest lease. */
const HEARTBEAT_INTERVAL_MS = 1000;
const LOCK_POLL_INTERVAL_MS = 250;
/** For the lock of a killed process. */
const KILL_TIMEOUT_MS = 10_000;

/** The time that a holder may miss its heartbeat before it is killed. */
type Lease = { leaseSeconds: number; logger: Logger };

/** The server that holds a folder, as in `server.json`. */
type Holder = {
  pid: number;
  started: string;
  boot: string;
  pid_namespace: string;
  host: string;
  /** A migration is running, which can block the heartbeat for long. */
  upgrading?: boolean;
};

/**
 * Opens the database of a folder with an exclusive lock for the lifetime of the process. Two servers on one folder would
 * cancel each other's runs. A frozen process keeps its lock, so a process of this machine is killed when its heartbeat is missing
 * for the length of the lease. It can then never wake up and write. The lease is measured by this process's clock.
 * @returns the database, and a function that releases the folder
 * @throws Error that names the holder and a remedy; the driver's error when the folder is not writable
 */
export async function openExclusively(directory: string, lease: Lease | undefined) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, 'server.json');
  const sqlite = tryOpen(directory) ?? (await takeOver(directory, file, lease));
  writeHolder(file, false);
  const stopHeartbeat = startHeartbeat(file, lease?.logger);
  return {
    sqlite,
    /** Runs migrations. Another server does not take a missing heartbeat for a frozen process meanwhile. */
    async upgrade<T>(migrate: () => Promise<T>): Promise<T> {
      writeHolder(file, true);
      const result = await migrate();
      writeHolder(file, false);
      return result;
    },
    release(): void {
      stopHeartbeat();
      rmSync(file, { force: true });
    },
  };
}

/** Opens the database; returns undefined when another process has it open. */
function tryOpen(directory: string): SQLite.Database | undefined {
  const sqlite = new SQLite(join(directory, STORE_FILE), { timeout: LOCK_POLL_INTERVAL_MS });
  try {
    sqlite.pragma('locking_mode = EXCLUSIVE');
    sqlite.pragma('journal_mode = WAL');
    return sqlite;
  } catch (error) {
    sqlite.close();
    if (error instanceof SQLite.SqliteError && error.code.startsWith('SQLITE_BUSY')) return undefined;
    throw error;
  }
}

async function takeOver(directory: string, file: string, lease: Lease | undefined) {
  if (lease === undefined) throw lockedError(directory, readHolder(file), 'Stop it first.');
  const { leaseSeconds, logger } = lease;
  const heartbeat = readHeartbeat(file);
  for (let until = performance.now() + leaseSeconds * 1000; performance.now() < until; ) {
    await pause(LOCK_POLL_INTERVAL_MS);
    // Read after the lock, so that a pause of this process does not count as a missing heartbeat.
    const sqlite = tryOpen(directory);
    if (sqlite !== undefined) return sqlite;
    if (readHeartbeat(file) !== heartbeat)
      throw lockedError(directory, readHolder(file), 'Stop it, or set another DATA_DIR for this server.');
  }
  const holder = readHolder(file);
  if (holder?.upgrading) {
    // One statement on a large store can take long and blocks everything else.
    throw lockedError(directory, holder, 'It is upgrading the store. Wait until it has finished, or stop it.');
  }
  if (holder === undefined || !isLocalProcess(holder)) {
    const remedy = 'Stop it where it runs, or set another DATA_DIR for this server.';
    throw lockedError(
      directory,
      holder,
      `Its heartbeat is missing, and its process is not visible from here. ${remedy}`,
    );
  }
  logger.warn({ holder }, 'killing the server that holds DATA_DIR, its heartbeat is missing');
  process.kill(holder.pid, 'SIGKILL');
  for (let until = performance.now() + KILL_TIMEOUT_MS; performance.now() < until; ) {
    const sqlite = tryOpen(directory);
    if (sqlite !== undefined) return sqlite;
    await pause(LOCK_POLL_INTERVAL_MS);
  }
  throw lockedError(directory, holder, 'Its heartbeat is missing, and it could not be killed.');
}

/** Writes the holder of the folder. A new inode also counts as a heartbeat. */
function writeHolder(file: string, upgrading: boolean): void {
  const holder: Holder = { ...describeSelf(), upgrading: upgrading || undefined };
  writeFileSync(`${file}.new`, `${JSON.stringify(holder, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/**
 * Starts the heartbeat: the file's modification time, used as a counter and not as a time. So it depends on no clock, and works
 * on a full disk.
 * @returns stops the heartbeat
 */
function startHeartbeat(file: string, logger: Logger | undefined): () => void {
  let count = 0;
  const timer = setInterval(() => {
    count += 1;
    utimes(file, count, count).catch((err) => logger?.error({ err }, 'heartbeat failed'));
  }, HEARTBEAT_INTERVAL_MS).unref();
  return () => clearInterval(timer);
}

function readHeartbeat(file: string): string {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats === undefined ? '' : `${stats.ino} ${stats.mtimeMs}`;
}

function describeSelf(): Holder {
  return { pid: process.pid, started: startTimeOf(process.pid), ...machineIdentity(), host: hostname() };
}

function machineIdentity(): Pick<Holder, 'boot' | 'pid_namespace'> {
  return {
    boot: orEmpty(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    pid_namespace: orEmpty(() => readlinkSync('/proc/self/ns/pid')),
  };
}

/** Returns whether exactly this process runs here and can be killed; false where there is no /proc. */
function isLocalProcess({ pid, started, boot, pid_namespace }: Holder): boolean {
  const here = machineIdentity();
  // The first process of a PID namespace cannot be killed from within.
  return (
    pid > 1 &&
    started !== '' &&
    startTimeOf(pid) === started &&
    here.boot === boot &&
    here.pid_namespace === pid_namespace
  );
}

/** Returns when a process started, in clock ticks since boot (proc(5), `starttime`). With the pid, it is unique. */
function startTimeOf(pid: number): string {
  const stat = orEmpty(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function readHolder(file: string): Holder | undefined {
  try {
    const holder: Holder = JSON.parse(readFileSync(file, 'utf8'));
    return Number.isInteger(holder.pid) ? holder : undefined;
  } catch {
    return undefined;
  }
}

function lockedError(directory: string, holder: Holder | undefined, remedy: string): Error {
  const process = holder === undefined ? '' : `: process ${holder.pid} on ${holder.host}`;
  return new Error(`another server uses DATA_DIR (${directory})${process}. ${remedy}`);
}

function orEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
