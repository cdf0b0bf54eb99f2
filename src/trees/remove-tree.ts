import { lstat, rmdir, unlink } from 'node:fs/promises';
import type { Confine } from '../sandbox/confined/confine.ts';
import { runProgram } from '../sandbox/confined/programs.ts';

const TIMEOUT_MS = 120_000;
const LIMITS = { cpuSeconds: 60, memoryMib: 1024, fileMib: 1 };
/** A tree that is too large for one pass needs several. */
const MAX_PASSES = 20;

/**
 * Deletes a file, or a folder with content of an agent: of any depth, with any modes, names and kinds of files.
 * @param path that only the server can replace
 * @returns the reason when it could not delete everything; never throws
 */
export async function removeTree(confine: Confine, path: string, signal?: AbortSignal): Promise<Error | undefined> {
  try {
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined) return undefined;
    if (!found.isDirectory()) {
      await unlink(path);
      return undefined;
    }
    return await removeFolder(confine, path, signal);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Deletes the content of a folder in confinement, then the folder, which is a mount point there, from outside. */
async function removeFolder(confine: Confine, path: string, signal: AbortSignal | undefined) {
  const program = { user: 'file-admin', readable: [], writable: [path], limits: LIMITS } as const;
  const remove = { ...program, argv: ['find', path, '-mindepth', '1', '-delete'] } as const;
  // Package caches, such as Go's, contain folders without write permission.
  const open = { ...program, argv: ['chmod', '-R', 'u+rwx', '--', path] } as const;
  for (let pass = 1; ; pass += 1) {
    const { ended, exitCode, stderr } = await runProgram(confine, remove, { signal, timeoutMs: TIMEOUT_MS });
    const isEmptied = ended === 'exited' && exitCode === 0;
    if (isEmptied && (await removeEmpty(path))) return undefined;
    if (pass === MAX_PASSES || signal?.aborted || (pass > 1 && ended === 'exited' && !isEmptied)) {
      const reason = isEmptied ? 'a program still writes to it' : stderr.slice(-500) || ended;
      return new Error(`The folder could not be emptied: ${reason}`);
    }
    if (ended === 'exited' && !isEmptied) await runProgram(confine, open, { signal, timeoutMs: TIMEOUT_MS });
  }
}

/** Returns false when a program has created new files in the folder. */
async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOTEMPTY') return false;
    throw error;
  }
}
