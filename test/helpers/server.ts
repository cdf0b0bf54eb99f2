import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../src/config/load-config.ts';
import { createServer } from '../../src/create-server.ts';
import { type GeminiApi, startGeminiApi } from '../../standins/gemini-api.ts';
import { type GitHub, startGitHub } from '../../standins/github.ts';

/** Registers clean-up work; tap's `t` is one. */
export type Owner = { teardown(task: () => unknown): unknown };

export type LogRecord = { level: number; msg?: string; [field: string]: unknown };

export type Server = {
  url: string;
  /** Returns the first log record, past or future, that matches the predicate. */
  logged(predicate: (record: LogRecord) => boolean): Promise<LogRecord>;
  /** Stops the server gracefully. */
  stop(): Promise<unknown>;
};

export type ServerProcess = Omit<Server, 'stop'> & {
  process: ChildProcess;
  /** Sends a signal and waits for the exit. */
  stop(signal?: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
};

/** The environment of a server: a folder, a GitHub stand-in with one repository, and a model stand-in. */
export type World = { dir: string; github: GitHub; gemini: GeminiApi; env: Record<string, string> };

export const TOKEN = 'ghp_standin0123456789abcdefghijklmnopqrst';
export const REPO = 'https://github.com/acme/duration';
const SAMPLE = fileURLToPath(new URL('../../standins/sample', import.meta.url));
const ADDRESS = /^Server listening at (http:\S+)/;
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** The compile cache of `npm start`, which more than halves the time of a start. */
const COMPILE_CACHE = fileURLToPath(new URL('../../node_modules/.cache/pullwright', import.meta.url));
/** The compile cache of the agent, which halves the time of its start. compile-agent.ts writes it. */
export const COMPILED_AGENT = fileURLToPath(new URL('../../node_modules/.cache/pullwright-agent', import.meta.url));

/** Starts the stand-ins. `world.env` is the environment of a server that uses them. */
export async function makeWorld(t: Owner): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), 'pw-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const github = await startGitHub({ root: join(dir, 'gh') });
  t.teardown(() => github.close());
  github.addToken(TOKEN, { login: 'pullwright-bot', push: true });
  await github.addRepository('acme/duration', { from: SAMPLE });
  const gemini = await startGeminiApi();
  t.teardown(() => gemini.close());
  const data = join(dir, 'data');
  await mkdir(data, { mode: 0o700 });
  if (existsSync(COMPILED_AGENT)) await cp(COMPILED_AGENT, join(data, 'agent-compile-cache'), { recursive: true });
  const env = {
    ...github.environment(),
    ...gemini.environment(),
    GITHUB_TOKEN: TOKEN,
    GEMINI_MODEL: 'gemini-2.5-pro',
    DATA_DIR: data,
    TICKETS_ROOT: join(dir, 'tickets'),
    PORT: '0',
    // Most tests need no spare agent, and each takes seconds of CPU time.
    AGENT_POOL_SPARE: '0',
    // Makes the server fetch before every use of a mirror.
    FETCH_TTL_SECONDS: '0',
  };
  return { dir, github, gemini, env };
}

/** Starts the server in this process, which saves a second of CPU time. */
export async function startServer(t: Owner, world: World, settings: Record<string, string> = {}): Promise<Server> {
  const parentEnv = { PATH: process.env.PATH, ...world.env, ...settings };
  const config = loadConfig(parentEnv, join(world.dir, '.env'));
  const { logged, add } = collectLog();
  const app = await createServer({ config, parentEnv, log: { write: add } });
  const stop = () => app.close();
  t.teardown(stop);
  const url = await app.listen({ host: config.HOST, port: config.PORT });
  return { url, logged, stop };
}

/**
 * Starts the server as a separate process in the folder of its world. Tests of signals, crashes, users and edited code
 * need it.
 * @param nodeArgs arguments of Node
 * @param within a command that runs another one, such as nsenter
 */
export async function startServerProcess(
  t: Owner,
  world: World,
  settings: Record<string, string> = {},
  nodeArgs: readonly string[] = [],
  within: readonly string[] = [],
): Promise<ServerProcess> {
  // tap passes its loader to child processes through the environment; `env -i` keeps it out of the server.
  const env = Object.entries({
    PATH: process.env.PATH,
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    ...world.env,
    ...settings,
  }).map(([name, value]) => `${name}=${value}`);
  const [program = 'env', ...args] = [...within, 'env', '-i', ...env, process.execPath, ...nodeArgs, MAIN];
  const child = spawn(program, args, {
    cwd: world.dir,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  const stop = (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal);
    return ended;
  };
  t.teardown(() => stop('SIGKILL'));

  const { logged, add } = collectLog();
  createInterface({ input: child.stdout }).on('line', add);
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const died = ended.then(({ code }) => {
    throw new Error(`the server exited with ${code} before it listened: ${stderr}`);
  });
  const listening = await Promise.race([logged((record) => ADDRESS.test(record.msg ?? '')), died]);
  died.catch(() => {});
  return { url: ADDRESS.exec(listening.msg ?? '')?.[1] ?? '', process: child, logged, stop };
}

/** Collects log records and lets a test wait for one. */
function collectLog() {
  const log: LogRecord[] = [];
  const watchers = new Set<(record: LogRecord) => void>();
  return {
    add(line: string): void {
      const record: LogRecord = JSON.parse(line);
      log.push(record);
      for (const watch of watchers) watch(record);
    },
    logged: (predicate: (record: LogRecord) => boolean): Promise<LogRecord> =>
      new Promise((resolve) => {
        const past = log.find(predicate);
        if (past !== undefined) return resolve(past);
        watchers.add((record) => {
          if (predicate(record)) resolve(record);
        });
      }),
  };
}
