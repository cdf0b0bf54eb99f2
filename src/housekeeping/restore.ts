import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Value } from '@sinclair/typebox/value';
import { extract, list } from 'tar';
import type { Config } from '../config/load-config.ts';
import { checkStore, UNFINISHED_RESTORE } from '../store/store-file.ts';
import { MANIFEST, Manifest } from './backup.ts';

/**
 * What an empty folder may hold: what Node compiled of Pullwright in the Docker image, for which it makes a folder before any
 * code runs, and what file systems have in their root, which a volume is.
 */
const NOTHING = new Set(['compile-cache', 'lost+found']);

/** Why a backup could not be read or restored, in words for the person who asked for it. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

/**
 * Puts a backup into empty folders. A restore that is cut short leaves a mark with which no server starts.
 * @param file made by `Backups.take`
 * @throws BackupError
 */
export async function restoreBackup(
  file: string,
  { DATA_DIR, TICKETS_ROOT }: Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT'>,
): Promise<Manifest> {
  const manifest = await readManifest(file);
  await refuseFull('DATA_DIR', DATA_DIR);
  await refuseFull('TICKETS_ROOT', TICKETS_ROOT);
  await mkdir(DATA_DIR, { recursive: true, mode: 0o700 });
  const mark = join(DATA_DIR, UNFINISHED_RESTORE);
  await writeFile(mark, `of ${file}, begun ${new Date().toISOString()}\n`, { flag: 'wx', flush: true });

  await extract({ file, cwd: DATA_DIR, strict: true, filter: (_path, entry) => isPlain(entry) });
  const fault = checkStore(DATA_DIR);
  if (fault !== undefined) throw new BackupError(`The store in ${file} is damaged: ${fault}.`);
  await pointToMirrors(DATA_DIR);
  await rm(join(DATA_DIR, MANIFEST));
  await rm(mark);
  return manifest;
}

/**
 * What a backup says of itself; reads the whole file, so that a damaged one is noticed.
 * @throws BackupError
 */
export async function readManifest(file: string): Promise<Manifest> {
  const chunks: Buffer[] = [];
  try {
    await list({
      file,
      strict: true,
      onReadEntry: (entry) => {
        if (basename(entry.path) === entry.path && entry.path === MANIFEST) {
          entry.on('data', (chunk: Buffer) => chunks.push(chunk));
        }
      },
    });
    const manifest: unknown = JSON.parse(Buffer.concat(chunks).toString());
    if (Value.Check(Manifest, manifest)) return manifest;
  } catch (error) {
    throw new BackupError(`${file} cannot be read as a backup: ${error instanceof Error ? error.message : error}.`);
  }
  throw new BackupError(`${file} is not a backup that this version can restore.`);
}

async function refuseFull(name: string, folder: string): Promise<void> {
  const names = await readdir(folder).catch((error): string[] => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  });
  if (names.includes(UNFINISHED_RESTORE)) {
    throw new BackupError(`${name} (${folder}) holds a restore that was not finished. Empty it and restore again.`);
  }
  if (names.every((entry) => NOTHING.has(entry))) return;
  throw new BackupError(`${name} (${folder}) is not empty. Restore into empty folders.`);
}

/** Git directories name the mirror whose objects they borrow by its absolute path. */
async function pointToMirrors(dataDir: string): Promise<void> {
  const gitDirs = join(dataDir, 'gitdirs');
  for (const name of await readdir(gitDirs)) {
    const alternates = join(gitDirs, name, 'objects', 'info', 'alternates');
    const objects = (await readFile(alternates, 'utf8')).trim();
    const mirror = basename(objects.replace(/\/objects$/, ''));
    await writeFile(alternates, `${join(dataDir, 'mirrors', mirror, 'objects')}\n`);
  }
}

function isPlain(entry: object): boolean {
  return 'type' in entry && (entry.type === 'File' || entry.type === 'Directory');
}
