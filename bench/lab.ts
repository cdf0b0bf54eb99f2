import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type GeminiApi, startGeminiApi } from '../standins/gemini-api.ts';
import { type GitHub, startGitHub } from '../standins/github.ts';

/** The environment of a row: a temporary folder, stand-ins, and processes that stop with it. */
export type Lab = Awaited<ReturnType<typeof makeLab>>;

export type Server = { url: string; process: ChildProcess; stop(): Promise<void> };

const TOKEN = 'ghp_bench0123456789abcdefghijklmnopqrstu';
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const SERVER_WITH_AGENT = fileURLToPath(new URL('server.ts', import.meta.url));

/**
 * Creates the environment of a row.
 * @param options `short`: fewer rounds; `profile`: folder for CPU profiles of the servers
 */
export async function makeLab(options: { short: boolean; profile?: string | undefined }) {
  const dir = await mkdtemp(join(tmpdir(), 'pullwright-bench-'));
  const cleanups: (() => unknown)[] = [];
  const teardown = (cleanup: () => unknown) => void cleanups.unshift(cleanup);
  const inspect = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];

  /** Starts a Node program that prints the URL on which it listens. */
  async function startProgram(args: readonly string[], env: Record<string, string> = {}, cwd = dir): Promise<Server> {
    const child = spawn(process.execPath, args, {
      cwd,
      // Like `npm start`.
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: join(dir, 'compile-cache'), ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    const stop = async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await exited;
      clearTimeout(timer);
    };
    teardown(stop);
    const url = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const found = /listening at (http:[^\s"]+)/.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
      exited.then(() => reject(new Error(`${args.join(' ')} exited before it listened`)));
    });
    return { url, process: child, stop };
  }

  return {
    dir,
    short: options.short,
    teardown,
    startProgram,

    /** Starts another program, and kills its process group on close. */
    background(
      program: string,
      args: readonly string[],
      { cwd, env }: { cwd: string; env: Record<string, string> },
    ): void {
      const child = spawn(program, args, {
        cwd,
        env: { PATH: process.env.PATH, ...env },
        stdio: 'ignore',
        detached: true,
      });
      const exited = once(child, 'exit');
      teardown(async () => {
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
        await exited;
      });
    },

    /** Starts a GitHub and a model; `env` connects a server to them. */
    async standIns(name = 'world'): Promise<{ github: GitHub; gemini: GeminiApi; env: Record<string, string> }> {
      const github = await startGitHub({ root: join(dir, name, 'github') });
      teardown(() => github.close());
      github.addToken(TOKEN, { login: 'pullwright-bench', push: true });
      const gemini = await startGeminiApi();
      teardown(() => gemini.close());
      const env = { ...github.environment(), ...gemini.environment(), GITHUB_TOKEN: TOKEN };
      return { github, gemini, env };
    },

    /** Returns settings without effective limits. */
    settings: (name = 'server'): Record<string, string> => ({
      DATA_DIR: join(dir, name, 'data'),
      TICKETS_ROOT: join(dir, name, 'tickets'),
      PORT: '0',
      GEMINI_MODEL: 'gemini-2.5-pro',
      RATE_LIMIT_PER_MINUTE: '1000000',
      KEY_RATE_LIMIT_PER_MINUTE: '1000000',
      MAX_STREAMS_PER_KEY: '100000',
      MAX_RUNS_PER_KEY: '100000',
      MIN_FREE_DISK_MB: '0',
    }),

    /** Starts the server. */
    server: (env: Record<string, string>) => startProgram([...inspect, MAIN], env),

    /** Starts the server with the benchmark agent. */
    serverWithAgent: (env: Record<string, string>) =>
      startProgram([...inspect, SERVER_WITH_AGENT], { ...env, AGENT: 'bench', MAX_CONCURRENT_RUNS: '100' }),

    async close(): Promise<void> {
      for (const cleanup of cleanups) await cleanup();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Reads the resident memory of a process in bytes. */
export function residentMemory(pid: number | undefined): number {
  const found = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(found) * 1024;
}
