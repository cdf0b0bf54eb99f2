import { execFile } from 'node:child_process';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { closeServer, listenOnPort } from '../../standins/loopback.ts';

/** An agent server of others, that is running. Each gives the milliseconds from a request to the first word of its answer. */
export type Peer = {
  /** In a conversation that is new, in a folder of its own. */
  fresh(): Promise<number>;
  /** In the conversation of the last call. */
  followUp(): Promise<number>;
};

const FOLDER = join(tmpdir(), 'pullwright-bench-cache', 'peers');

/** What is measured, and was current when the table was made. */
const PACKAGES = ['@google/gemini-cli-a2a-server@0.25.2', 'opencode-ai@1.18.33'];

/** The folder of the packages: installed once, 0.9 GB, without any of their install scripts. */
export async function installPeers(): Promise<string> {
  const modules = join(FOLDER, 'node_modules');
  if (await stat(join(modules, 'opencode-ai')).catch(() => undefined)) return modules;
  await mkdir(FOLDER, { recursive: true });
  await writeFile(join(FOLDER, 'package.json'), '{"private":true}');
  const flags = ['--no-audit', '--no-fund', '--ignore-scripts'];
  await promisify(execFile)('npm', ['install', ...flags, ...PACKAGES], { cwd: FOLDER });
  return modules;
}

/** A free port of loopback: these servers do not say which one they chose. */
export async function freePort(): Promise<string> {
  const server = createServer();
  const { port } = new URL(await listenOnPort(server));
  await closeServer(server);
  return port;
}

/** Resolves when a server answers at all; what it was asked before it was ready it may never answer. */
export async function answers(url: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await fetch(url, { signal: AbortSignal.timeout(1000) }).catch(() => undefined))) {
    if (Date.now() > deadline) throw new Error(`${url} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
