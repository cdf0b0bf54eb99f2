import { execFile } from 'node:child_process';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { closeServer, listenOnPort } from '../../standins/loopback.ts';

/** A running agent server of another project. Its functions measure the milliseconds from a request to the first word. */
export type Peer = {
  /** In a new conversation and folder. */
  fresh(): Promise<number>;
  /** In the previous conversation. */
  followUp(): Promise<number>;
};

const FOLDER = join(tmpdir(), 'pullwright-bench-cache', 'peers');

/** The measured packages, current when the figures were taken. */
const PACKAGES = ['@google/gemini-cli-a2a-server@0.25.2', 'opencode-ai@1.18.33'];

/** Installs the packages once (0.9 GB), without their install scripts, and returns their folder. */
export async function installPeers(): Promise<string> {
  const modules = join(FOLDER, 'node_modules');
  if (await stat(join(modules, 'opencode-ai')).catch(() => undefined)) return modules;
  await mkdir(FOLDER, { recursive: true });
  await writeFile(join(FOLDER, 'package.json'), '{"private":true}');
  const flags = ['--no-audit', '--no-fund', '--ignore-scripts'];
  await promisify(execFile)('npm', ['install', ...flags, ...PACKAGES], { cwd: FOLDER });
  return modules;
}

/** Finds a free loopback port, because these servers do not print the one they choose. */
export async function freePort(): Promise<string> {
  const server = createServer();
  const { port } = new URL(await listenOnPort(server));
  await closeServer(server);
  return port;
}

/** Resolves when a server responds. Requests time out, because it may never answer those before it is ready. */
export async function waitUntilReachable(url: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await fetch(url, { signal: AbortSignal.timeout(1000) }).catch(() => undefined))) {
    if (Date.now() > deadline) throw new Error(`${url} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
