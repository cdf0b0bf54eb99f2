import { existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { type IncomingMessage, request as overHttp } from 'node:http';
import { request as overHttps } from 'node:https';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { json as readJson } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { PullwrightError } from '../../client/client.ts';
import type { Config } from '../config/load-config.ts';
import { createGit } from '../git/git.ts';
import { createBackups } from '../housekeeping/backup.ts';
import { readManifest, restoreBackup } from '../housekeeping/restore.ts';
import { createRedactor } from '../redaction/redactor.ts';
import { createSandbox } from '../sandbox/sandbox.ts';
import { openStore } from '../store/open-store.ts';
import { STORE_FILE } from '../store/store-file.ts';
import { createWorkspaces } from '../workspaces/workspaces.ts';
import { CommandError } from './command-error.ts';
import { ServerUnreachable, serverAddress, settings } from './connect.ts';
import { createTerminal } from './terminal.ts';

/**
 * Writes a backup of the running server, or of the folders of the settings when no server is running.
 * @throws CommandError
 */
export async function backup(file: string, json: boolean): Promise<void> {
  const terminal = createTerminal();
  if (existsSync(file)) throw new CommandError(`${file} exists. Name another file.`);
  const { url, apiKey, config } = serverAddress();
  const answer = await askServer(url, apiKey).catch((error) => {
    // Only a refused connection proves that no server uses the folders of the settings.
    if (config !== undefined && error instanceof ServerUnreachable && error.code === 'ECONNREFUSED') return config;
    throw error;
  });
  if (answer instanceof Readable) await write(file, answer);
  else await fromFolders(file, answer, url);
  const { tickets, left_out } = await withPlainErrors(() => readManifest(file));
  if (json) return terminal.json({ file, tickets: tickets.length, left_out });
  terminal.print(`${file}: ${tickets.length} tickets`);
  for (const { ticket_id, what } of left_out) terminal.print(`left out: ${what} (ticket ${ticket_id})`);
}

/**
 * Restores a backup into DATA_DIR and TICKETS_ROOT of the settings, which must be empty.
 * @throws CommandError
 */
export async function restore(file: string, json: boolean): Promise<void> {
  const terminal = createTerminal();
  const config = settings();
  const { tickets, created_at } = await withPlainErrors(() => restoreBackup(file, config));
  if (json) return terminal.json({ data_dir: config.DATA_DIR, tickets: tickets.length, created_at });
  terminal.print(
    `${config.DATA_DIR}: ${tickets.length} tickets as of ${created_at}; the next command on a ticket restores its files`,
  );
}

/**
 * Requests a backup from the server. Uses no `fetch`, which times out after five minutes without an answer.
 * @throws PullwrightError, ServerUnreachable
 */
async function askServer(url: string, apiKey: string | undefined): Promise<Readable> {
  const target = new URL('/v1/backup', url);
  const send = target.protocol === 'https:' ? overHttps : overHttp;
  const headers = apiKey === undefined || apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` };
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    send(target, { method: 'POST', headers }, resolve).on('error', reject).end();
  });
  const answer = await response.catch((error) => {
    throw new ServerUnreachable(url, error);
  });
  if (answer.statusCode === 200 && answer.headers['content-type'] === 'application/gzip') return answer;
  throw new PullwrightError(answer.statusCode ?? 0, await readJson(answer).catch(() => undefined));
}

async function fromFolders(file: string, config: Config, url: string): Promise<void> {
  if (!existsSync(join(config.DATA_DIR, STORE_FILE))) {
    throw new CommandError(
      `No server answers at ${url}, and DATA_DIR (${config.DATA_DIR}) holds no store. Set PULLWRIGHT_URL or DATA_DIR.`,
    );
  }
  const store = await withPlainErrors(() => openStore(config.DATA_DIR));
  try {
    const redactor = createRedactor();
    const parentEnv = process.env;
    const sandbox = createSandbox({ config, parentEnv });
    const { confine } = sandbox;
    const git = createGit({ config, parentEnv, token: async () => undefined, confine, redactor });
    const workspaces = createWorkspaces({ config, git, sandbox, redactor });
    await withPlainErrors(() => workspaces.recover());
    await write(file, await createBackups({ config, store, workspaces, confine }).take());
    await workspaces.close();
  } finally {
    await store.close();
  }
}

/** Writes a file that only its owner can read, and renames it once it is complete. */
async function write(file: string, archive: Readable): Promise<void> {
  const part = `${file}.part`;
  await rm(part, { force: true });
  const handle = await open(part, 'wx', 0o600);
  try {
    await pipeline(archive, handle.createWriteStream({ flush: true }));
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    throw new CommandError(`Failed to write the backup: ${error instanceof Error ? error.message : error}.`);
  }
}

/** Converts errors to CommandErrors, which are printed without a stack. */
async function withPlainErrors<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}
