import { randomUUID } from 'node:crypto';
import { lstat, mkdir, readFile, realpath, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors/app-error.ts';
import { isMissing } from './file-errors.ts';
import { shown } from './show-paths.ts';
import { type Place, pathIn } from './snapshot.ts';

/**
 * Points a workspace at its git directory, for a person who runs git there and for the agent's read-only view. The
 * server never reads this file: it tells git where everything is.
 */
export async function writeGitFile(workspace: string, gitDir: string): Promise<void> {
  await writeFile(join(workspace, '.git'), gitFileText(gitDir), { flag: 'wx' });
}

/** Puts the file back when something else has taken its place: a person's next git command would trust that. */
export async function restoreGitFile({ workspace, gitDir }: Place, quarantine: string): Promise<string[]> {
  const path = join(workspace, '.git');
  const found = await lstat(path).catch(() => undefined);
  const text = gitFileText(gitDir);
  const same = found?.isFile() && found.size === Buffer.byteLength(text) && (await readFile(path, 'utf8')) === text;
  if (same) return [];
  const notes = found ? ['The .git of the workspace had been replaced; it was moved away and put back.'] : [];
  if (found) await moveAway(Buffer.from(path), quarantine);
  await writeGitFile(workspace, gitDir);
  return notes;
}

/**
 * Moves the `.git` out of a folder of the workspace, so that the folder's files are files like any other.
 * @param folder relative to the workspace, as git named it
 * @param quarantine where the `.git` is kept, on the same file system
 * @throws AppError `workspace_tampered` when the folder is not inside the workspace
 */
export async function unnest(workspace: string, folder: Buffer, quarantine: string): Promise<void> {
  const path = pathIn(workspace, folder);
  const real = await realpath(path, 'buffer');
  const expected = pathIn(await realpath(workspace), folder);
  if (!real.equals(expected)) {
    throw new AppError('workspace_tampered', `The folder ${shown(folder)} leads out of the workspace.`);
  }
  await moveAway(pathIn(workspace, Buffer.concat([folder, Buffer.from('/.git')])), quarantine);
}

async function moveAway(path: Buffer, quarantine: string): Promise<void> {
  await mkdir(quarantine, { recursive: true });
  try {
    await rename(path, join(quarantine, randomUUID()));
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new AppError('workspace_tampered', `${shown(path)} could not be moved away.`, { cause: error });
  }
}

function gitFileText(gitDir: string): string {
  return `gitdir: ${gitDir}\n`;
}
