import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import { processesIn } from '../helpers/processes.ts';
import { makeWorld, type ServerProcess, startServerProcess, type World } from '../helpers/server.ts';

export const MODEL_KEY = 'AIzaSyStandIn-Key_0123456789';
/** How long processes may survive their killed server. */
const ORPHAN_TIMEOUT_MS = 15_000;

export type FaultWorld = Awaited<ReturnType<typeof makeFaultWorld>>;

/** Creates a world whose server can be killed, frozen and restarted. `log` has the records of all its servers. */
export async function makeFaultWorld(settings: Record<string, string> = {}) {
  const teardowns: (() => unknown)[] = [];
  const owner = { teardown: (undo: () => unknown) => teardowns.push(undo) };
  const world: World = await makeWorld(owner);
  const log: string[] = [];
  let server: ServerProcess | undefined;

  function listen(started: ServerProcess): ServerProcess {
    // The helper replays the log from its first line; a predicate that is always false receives every record.
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

    /** Starts a server on the folders of the world and makes it the current one. */
    async start(): Promise<ServerProcess> {
      const started = await startServerProcess(owner, world, { ...SETTINGS, ...settings });
      log.push('--- server started');
      server = listen(started);
      return started;
    },

    isUp(): boolean {
      return server !== undefined && server.process.exitCode === null && server.process.signalCode === null;
    },

    /** Lists processes that a server left behind and that do not exit in time. */
    async orphans(): Promise<string[]> {
      const deadline = Date.now() + ORPHAN_TIMEOUT_MS;
      for (;;) {
        const left = processesIn(world.dir);
        if (left.length === 0) return [];
        if (Date.now() > deadline) return left.map(({ pid, command }) => `${pid} ${command.slice(0, 200)}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },

    /** Checks a copy of the store of a dead server with SQLite. Returns the problems. */
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

    onEnd: (undo: () => unknown) => void teardowns.push(undo),

    async close(): Promise<void> {
      for (const undo of teardowns.reverse()) await undo();
    },
  };
  return faultWorld;
}

/** Limits high enough that none affects an action. */
const SETTINGS = {
  GEMINI_API_KEY: MODEL_KEY,
  RATE_LIMIT_PER_MINUTE: '1000000',
  KEY_RATE_LIMIT_PER_MINUTE: '1000000',
  MAX_RUNS_PER_KEY: '100000',
  MAX_STREAMS_PER_KEY: '100000',
  GIT_TIMEOUT_SECONDS: '15',
  RUN_TIMEOUT_SECONDS: '90',
  SHUTDOWN_SECONDS: '10',
  // Less than the size of the small disks.
  MIN_FREE_DISK_MB: '8',
  // Only the action `permission` runs shell commands.
  ASK_PERMISSION: 'execute',
  // Seconds without a heartbeat after which a starting server takes over from a frozen one.
  LEASE_SECONDS: '5',
};
