import { mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import SQLite from 'better-sqlite3';
import type { Logger } from '../config/logger.ts';
import { STORE_FILE } from './store-file.ts';

/** How often the holder of a folder gives a sign of life; several times within the shortest lease. */
const BEAT_MS = 1000;
const LOOK_MS = 250;
/** Longest wait for the lock of a process that was ended. */
const KILLED_MS = 10_000;

/** How long a holder may give no sign of life before it is ended. */
type Lease = { leaseSeconds: number; logger: Logger };

/** The server that holds a folder, as `server.json` tells. */
type Holder = {
  pid: number;
  started: string;
  boot: string;
  pid_namespace: string;
  host: string;
  /** It is at work that may keep it from giving a sign of life for long. */
  upgrading?: boolean;
};

/**
 * Opens the database of a folder for this server alone. Two servers on one folder would end each other's runs, so the lock
 * lasts as long as the process. A frozen process keeps it, too: one that gives no sign of life for the length of the
 * lease, by the clock of this process, is ended if it is one of this machine, and so never wakes up to write.
 * @returns the database, and what gives the folder back
 * @throws Error naming who holds the folder and what to do; the driver's error when the folder cannot be written
 */
export async function openExclusively(directory: string, lease: Lease | undefined) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, 'server.json');
  const sqlite = tryToOpen(directory) ?? (await takeOver(directory, file, lease));
  sayWho(file, false);
  const stopBeating = giveSigns(file, lease?.logger);
  return {
    sqlite,
    /** Does what brings the store up to date, and what no other server may end for its silence. */
    async upgrade<T>(work: () => Promise<T>): Promise<T> {
      sayWho(file, true);
      const done = await work();
      sayWho(file, false);
      return done;
    },
    release(): void {
      stopBeating();
      rmSync(file, { force: true });
    },
  };
}

/** The database if nobody else has it open. */
function tryToOpen(directory: string): SQLite.Database | undefined {
  const sqlite = new SQLite(join(directory, STORE_FILE), { timeout: LOOK_MS });
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
  if (lease === undefined) throw refusal(directory, readHolder(file), 'Stop it first.');
  const { leaseSeconds, logger } = lease;
  const seen = signOf(file);
  for (let until = performance.now() + leaseSeconds * 1000; performance.now() < until; ) {
    await pause(LOOK_MS);
    // Looked at last, so that a pause of this process counts for nothing.
    const sqlite = tryToOpen(directory);
    if (sqlite !== undefined) return sqlite;
    if (signOf(file) !== seen)
      throw refusal(directory, readHolder(file), 'Stop it, or give this one a DATA_DIR of its own.');
  }
  const holder = readHolder(file);
  if (holder?.upgrading) {
    // A statement on a large store takes as long as it takes, and lets nothing else run.
    const remedy = 'It is bringing the store up to date. Wait for it, or end it if it does not come to an end.';
    throw refusal(directory, holder, remedy);
  }
  if (holder === undefined || !isHere(holder)) {
    const silent = `It gives no sign of life, and is no process that can be seen from here. End it where it runs`;
    throw refusal(directory, holder, `${silent}, or give this one a DATA_DIR of its own.`);
  }
  logger.warn({ holder }, 'the server that holds DATA_DIR gives no sign of life and is ended');
  process.kill(holder.pid, 'SIGKILL');
  for (let until = performance.now() + KILLED_MS; performance.now() < until; ) {
    const sqlite = tryToOpen(directory);
    if (sqlite !== undefined) return sqlite;
    await pause(LOOK_MS);
  }
  throw refusal(directory, holder, 'It gives no sign of life and could not be ended.');
}

/** Says who holds the folder; that the file is another one is a sign of life, too. */
function sayWho(file: string, upgrading: boolean): void {
  const holder: Holder = { ...self(), upgrading: upgrading || undefined };
  writeFileSync(`${file}.new`, `${JSON.stringify(holder, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/**
 * Says that the holder lives: by the file's time, which is a counter here and no clock, so that neither a clock that jumps
 * nor a full disk matters.
 */
function giveSigns(file: string, logger: Logger | undefined): () => void {
  let count = 0;
  const timer = setInterval(() => {
    count += 1;
    utimes(file, count, count).catch((err) => logger?.error({ err }, 'no sign of life could be given'));
  }, BEAT_MS).unref();
  return () => clearInterval(timer);
}

function signOf(file: string): string {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats === undefined ? '' : `${stats.ino} ${stats.mtimeMs}`;
}

function self(): Holder {
  return { pid: process.pid, started: startOf(process.pid), ...machine(), host: hostname() };
}

function machine(): Pick<Holder, 'boot' | 'pid_namespace'> {
  return {
    boot: orEmpty(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    pid_namespace: orEmpty(() => readlinkSync('/proc/self/ns/pid')),
  };
}

/** Whether that very process can be seen from here. Where there is no /proc, nothing is certain. */
function isHere({ pid, started, boot, pid_namespace }: Holder): boolean {
  const here = machine();
  // The first process of a namespace cannot be ended from within.
  return (
    pid > 1 && started !== '' && startOf(pid) === started && here.boot === boot && here.pid_namespace === pid_namespace
  );
}

/** When a process was started, in ticks since the machine was (proc(5), `starttime`); with its id, no other has the same. */
function startOf(pid: number): string {
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

function refusal(directory: string, holder: Holder | undefined, remedy: string): Error {
  const who = holder === undefined ? '' : `: process ${holder.pid} on ${holder.host}`;
  return new Error(`another server uses DATA_DIR (${directory})${who}. ${remedy}`);
}

function orEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
