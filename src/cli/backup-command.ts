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
 * Writes a backup of the running server; of the folders of the settings, when none is running that has these settings.
 * @throws CommandError
 */
export async function backup(file: string, json: boolean): Promise<void> {
  const terminal = createTerminal();
  if (existsSync(file)) throw new CommandError(`${file} exists. Name another file.`);
  const { url, apiKey, config } = serverAddress();
  const answer = await askServer(url, apiKey).catch((error) => {
    // The folders are those of the settings, not of a server that is named; and one that does not answer may use them.
    if (config !== undefined && error instanceof ServerUnreachable && error.code === 'ECONNREFUSED') return config;
    throw error;
  });
  if (answer instanceof Readable) await write(file, answer);
  else await fromFolders(file, answer, url);
  const { tickets, left_out } = await withPlainErrors(() => readManifest(file));
  if (json) return terminal.json({ file, tickets: tickets.length, left_out });
  terminal.print(`${file}: ${tickets.length} tickets`);
  for (const { ticket_id, what } of left_out) terminal.print(`not in it: ${what} (ticket ${ticket_id})`);
}

/**
 * Puts a backup into the empty folders DATA_DIR and TICKETS_ROOT of the settings.
 * @throws CommandError
 */
export async function restore(file: string, json: boolean): Promise<void> {
  const terminal = createTerminal();
  const config = settings();
  const { tickets, created_at } = await withPlainErrors(() => restoreBackup(file, config));
  if (json) return terminal.json({ data_dir: config.DATA_DIR, tickets: tickets.length, created_at });
  terminal.print(
    `${config.DATA_DIR}: ${tickets.length} tickets as of ${created_at}; their files come back with the next command`,
  );
}

/**
 * The archive as the server sends it, once it is staged: that may take longer than the five minutes of `fetch`.
 * @throws PullwrightError, ServerUnreachable
 */
async function askServer(url: string, apiKey: string | undefined): Promise<Readable> {
  const target = new URL('/v1/backup', url);
  const send = target.protocol === 'https:' ? overHttps : overHttp;
  const headers = apiKey === undefined || apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` };
  const asked = new Promise<IncomingMessage>((resolve, reject) => {
    send(target, { method: 'POST', headers }, resolve).on('error', reject).end();
  });
  const answer = await asked.catch((error) => {
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

/** For its owner only, and under its name only when it is whole. */
async function write(file: string, archive: Readable): Promise<void> {
  const part = `${file}.part`;
  await rm(part, { force: true });
  const handle = await open(part, 'wx', 0o600);
  try {
    await pipeline(archive, handle.createWriteStream({ flush: true }));
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    throw new CommandError(`The backup was not written: ${error instanceof Error ? error.message : error}.`);
  }
}

/** What an operator can mend is told without a stack. */
async function withPlainErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}
