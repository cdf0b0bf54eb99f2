import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import { processesIn } from '../helpers/processes.ts';
import { makeWorld, type ServerProcess, startServerProcess, type World } from '../helpers/server.ts';

export const MODEL_KEY = 'AIzaSyStandIn-Key_0123456789';
/** How long a killed server's processes may outlive it. */
const ORPHAN_MS = 15_000;

export type FaultWorld = Awaited<ReturnType<typeof makeFaultWorld>>;

/** A world whose server is killed, frozen and started again; `log` holds what all its servers logged. */
export async function makeFaultWorld(settings: Record<string, string> = {}) {
  const teardowns: (() => unknown)[] = [];
  const owner = { teardown: (work: () => unknown) => teardowns.push(work) };
  const world: World = await makeWorld(owner);
  const log: string[] = [];
  let server: ServerProcess | undefined;

  function listen(started: ServerProcess): ServerProcess {
    // The helper keeps the log from its first line on; a predicate that never holds sees every record.
    void started.logged((record) => {
      log.push(JSON.stringify(record));
      return false;
    });
    started.process.stderr?.on('data', (chunk) => log.push(String(chunk)));
    return started;
  }

  const faultWorld = {
    ...world,
    log,
    path: (...names: string[]) => join(world.dir, ...names),

    get server(): ServerProcess {
      if (server === undefined) throw new Error('no server was started');
      return server;
    },

    /** Starts a server on the folders of the world; it is the current one from then on. */
    async start(): Promise<ServerProcess> {
      const started = await startServerProcess(owner, world, { ...SETTINGS, ...settings });
      log.push('--- a server listens');
      server = listen(started);
      return started;
    },

    isUp(): boolean {
      return server !== undefined && server.process.exitCode === null && server.process.signalCode === null;
    },

    /** Processes that a server left behind and that do not end. */
    async orphans(): Promise<string[]> {
      const deadline = Date.now() + ORPHAN_MS;
      for (;;) {
        const left = processesIn(world.dir);
        if (left.length === 0) return [];
        if (Date.now() > deadline) return left.map(({ pid, command }) => `${pid} ${command.slice(0, 200)}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },

    /** What SQLite finds wrong with a copy of the store, as the dead server left it. */
    async storeProblems(): Promise<string[]> {
      const copy = await mkdtemp(join(tmpdir(), 'faults-store-'));
      try {
        for (const name of ['pullwright.db', 'pullwright.db-wal']) {
          await cp(join(world.dir, 'data', name), join(copy, name)).catch(() => {});
        }
        const store = new SQLite(join(copy, 'pullwright.db'));
        const rows = store.pragma('integrity_check', { simple: true });
        store.close();
        return rows === 'ok' ? [] : [JSON.stringify(rows)];
      } finally {
        await rm(copy, { recursive: true, force: true });
      }
    },

    onEnd: (work: () => unknown) => void teardowns.push(work),

    async close(): Promise<void> {
      for (const work of teardowns.reverse()) await work();
    },
  };
  return faultWorld;
}

/** Nothing of what a test floods or waits for shall be what a limit ends. */
const SETTINGS = {
  GEMINI_API_KEY: MODEL_KEY,
  RATE_LIMIT_PER_MINUTE: '1000000',
  KEY_RATE_LIMIT_PER_MINUTE: '1000000',
  MAX_RUNS_PER_KEY: '100000',
  MAX_STREAMS_PER_KEY: '100000',
  GIT_TIMEOUT_SECONDS: '15',
  RUN_TIMEOUT_SECONDS: '90',
  SHUTDOWN_SECONDS: '10',
  // Less than the small disks have.
  MIN_FREE_DISK_MB: '8',
  // Only the action `permission` runs commands.
  ASK_PERMISSION: 'execute',
  // Seconds without a sign of life after which a starting server takes a frozen one's place.
  LEASE_SECONDS: '5',
};
