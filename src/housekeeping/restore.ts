import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Value } from '@sinclair/typebox/value';
import { extract, list } from 'tar';
import type { Config } from '../config/load-config.ts';
import { checkStore, UNFINISHED_RESTORE } from '../store/store-file.ts';
import { MANIFEST, Manifest } from './backup.ts';

/** Entries of a folder that counts as empty: Node's compile cache in the Docker image, and a folder in the root of a volume. */
const IGNORED_ENTRIES = new Set(['compile-cache', 'lost+found']);

/** An error whose message is for the person who restores. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

/**
 * Restores a backup into empty folders. An interrupted restore leaves a marker file, with which no server starts.
 * @param file a backup of `Backups.take`
 * @throws BackupError
 */
export async function restoreBackup(
  file: string,
  { DATA_DIR, TICKETS_ROOT }: Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT'>,
): Promise<Manifest> {
  const manifest = await readManifest(file);
  await checkEmpty('DATA_DIR', DATA_DIR);
  await checkEmpty('TICKETS_ROOT', TICKETS_ROOT);
  await mkdir(DATA_DIR, { recursive: true, mode: 0o700 });
  const marker = join(DATA_DIR, UNFINISHED_RESTORE);
  await writeFile(marker, `of ${file}, started ${new Date().toISOString()}\n`, { flag: 'wx', flush: true });

  await extract({ file, cwd: DATA_DIR, strict: true, filter: (_path, entry) => isPlain(entry) });
  const fault = checkStore(DATA_DIR);
  if (fault !== undefined) throw new BackupError(`The store in ${file} is damaged: ${fault}.`);
  await updateAlternates(DATA_DIR);
  await rm(join(DATA_DIR, MANIFEST));
  await rm(marker);
  return manifest;
}

/**
 * Reads the manifest of a backup, and the rest of the file to detect damage.
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
    throw new BackupError(`${file} is not a readable backup: ${error instanceof Error ? error.message : error}.`);
  }
  throw new BackupError(`${file} is not a backup that this version can restore.`);
}

async function checkEmpty(name: string, folder: string): Promise<void> {
  const names = await readdir(folder).catch((error): string[] => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  });
  if (names.includes(UNFINISHED_RESTORE)) {
    throw new BackupError(`${name} (${folder}) holds a restore that was not finished. Empty it and restore again.`);
  }
  if (names.every((entry) => IGNORED_ENTRIES.has(entry))) return;
  throw new BackupError(`${name} (${folder}) is not empty. Restore into empty folders.`);
}

/** Updates the absolute paths of the mirrors from which git directories borrow objects. */
async function updateAlternates(dataDir: string): Promise<void> {
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
