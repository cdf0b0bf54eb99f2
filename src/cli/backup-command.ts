import { existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Config, ConfigError, loadConfig } from '../config/load-config.ts';
import { createGit } from '../git/git.ts';
import { createBackups } from '../housekeeping/backup.ts';
import { readManifest, restoreBackup } from '../housekeeping/restore.ts';
import { createRedactor } from '../redaction/redactor.ts';
import { openStore } from '../store/open-store.ts';
import { STORE_FILE } from '../store/store-file.ts';
import { createWorkspaces } from '../workspaces/workspaces.ts';
import { openAnswer, type ServerAccess } from './call-server.ts';
import { CommandError } from './command-error.ts';

/**
 * `pullwright backup FILE`: from the running server, or when none answers, from the folders of the settings.
 * @returns the lines to print
 * @throws CommandError
 */
export async function backupCommand(args: string[], server: ServerAccess): Promise<string[]> {
  const file = onlyFile('backup', args);
  if (existsSync(file)) throw new CommandError(`${file} exists. Name another file.`);
  const answer = await openAnswer(server, { method: 'POST', path: '/v1/backup' });
  if (answer !== undefined) await write(file, Readable.from(answer));
  else await fromFolders(file, server.url);
  const { tickets, left_out } = await told(() => readManifest(file));
  return [
    `${file}: ${tickets.length} tickets`,
    ...left_out.map(({ ticket_id, what }) => `not in it: ${what} (ticket ${ticket_id})`),
  ];
}

/**
 * `pullwright restore FILE`: into the empty folders DATA_DIR and TICKETS_ROOT of the settings.
 * @returns the lines to print
 * @throws CommandError
 */
export async function restoreCommand(args: string[]): Promise<string[]> {
  const file = onlyFile('restore', args);
  const config = settings();
  const { tickets, created_at } = await told(() => restoreBackup(file, config));
  return [
    `${config.DATA_DIR}: ${tickets.length} tickets as of ${created_at}; their files come back with the next command`,
  ];
}

async function fromFolders(file: string, url: string): Promise<void> {
  const config = settings();
  if (!existsSync(join(config.DATA_DIR, STORE_FILE))) {
    throw new CommandError(
      `No server answers at ${url}, and DATA_DIR (${config.DATA_DIR}) holds no store. Set PULLWRIGHT_URL or DATA_DIR.`,
    );
  }
  const store = await told(() => openStore(config.DATA_DIR));
  try {
    const redactor = createRedactor();
    const git = createGit({ config, parentEnv: process.env, token: async () => undefined, redactor });
    const workspaces = createWorkspaces({ config, git, redactor });
    await workspaces.recover();
    await write(file, await createBackups({ config, store, workspaces }).take());
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

function onlyFile(command: string, args: string[]): string {
  const [file, ...more] = args;
  if (file === undefined || more.length > 0 || file.startsWith('-')) {
    throw new CommandError(`${command} needs one file.`, 2);
  }
  return file;
}

function settings(): Config {
  try {
    return loadConfig(process.env);
  } catch (error) {
    if (error instanceof ConfigError) throw new CommandError(error.message);
    throw error;
  }
}

/** What an operator can mend is told without a stack. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}
