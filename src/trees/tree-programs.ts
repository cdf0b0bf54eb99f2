import { randomUUID } from 'node:crypto';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { canceled } from '../concurrency/abortable.ts';
import { AppError, storageFailure } from '../errors/app-error.ts';
import { joinZ, splitZ } from '../files/null-separated.ts';
import type { Confine, ConfinedProgram } from '../sandbox/confined/confine.ts';
import { runNodeTool } from '../sandbox/confined/node-tool.ts';
import { limitFailure, runProgram } from '../sandbox/confined/programs.ts';
import type { Identities } from '../sandbox/identity.ts';
import { unifyOwner } from '../sandbox/ownership.ts';

/** Confined operations on the files of a workspace, other than git's. */
export type TreePrograms = ReturnType<typeof createTreePrograms>;

type Options = { input: string | Uint8Array; signal?: AbortSignal | undefined; writes?: boolean };

const FIND_LIMITS = { cpuSeconds: 20, memoryMib: 512, fileMib: 1 };
const FIND_TIMEOUT_SECONDS = 30;
const SCRIPT = fileURLToPath(new URL('tree-tool.mjs', import.meta.url));

export function createTreePrograms(confine: Confine, identities: Identities) {
  async function run(operation: string, tree: string, args: readonly string[], options: Options): Promise<Buffer> {
    const { input, signal, writes = false } = options;
    const seen = writes ? { writable: [tree] } : { readable: [tree] };
    try {
      return await runNodeTool(confine, { script: SCRIPT, args: [operation, tree, ...args], ...seen, input, signal });
    } catch (error) {
      throw signal?.aborted ? canceled(signal) : error;
    }
  }

  /** Runs find(1) on a tree. Vanished and unreadable files do not stop it. */
  async function find(tree: string, expression: readonly string[], options: Omit<Options, 'input'>): Promise<Buffer> {
    const { signal, writes = false } = options;
    const program: ConfinedProgram = {
      argv: ['find', tree, ...expression],
      user: 'file-admin',
      readable: writes ? [] : [tree],
      writable: writes ? [tree] : [],
      limits: FIND_LIMITS,
    };
    const result = await runProgram(confine, program, { signal, timeoutMs: FIND_TIMEOUT_SECONDS * 1000 });
    if (result.ended === 'canceled') throw canceled(signal);
    const failure = limitFailure('Reading the files', result, FIND_TIMEOUT_SECONDS);
    if (failure) throw failure;
    return result.stdout;
  }

  return {
    /** Finds regular files larger than a size in KiB. Most trees have none. */
    async filesAbove(tree: string, kib: number, signal?: AbortSignal): Promise<Buffer[]> {
      const found = await find(tree, ['-type', 'f', '-size', `+${kib}k`, '-print0'], { signal });
      return splitZ(found).map((path) => path.subarray(Buffer.byteLength(tree) + 1));
    },

    /** Clears the set-id bits of a tree, which would give other users of the machine its owner's privileges. */
    async stripSetIds(tree: string, signal?: AbortSignal): Promise<void> {
      const isSetId = ['(', '-perm', '-4000', '-o', '-perm', '-2000', ')'];
      await find(tree, ['-type', 'f', ...isSetId, '-exec', 'chmod', 'ug-s', '{}', '+'], { signal, writes: true });
    },

    /** Returns the regular files among the paths that are larger than a limit, in bytes. */
    async largeFiles(
      tree: string,
      paths: readonly Buffer[],
      limit: number,
      signal?: AbortSignal,
    ): Promise<{ path: Buffer; bytes: number }[]> {
      if (paths.length === 0) return [];
      const records = splitZ(await run('large', tree, [String(limit)], { input: joinZ(paths), signal }));
      return records.map((record) => {
        const space = record.indexOf(' ');
        return { bytes: Number(record.subarray(0, space)), path: record.subarray(space + 1) };
      });
    },

    /** Returns the paths that are not empty folders. */
    async occupied(tree: string, folders: readonly Buffer[], signal?: AbortSignal): Promise<Buffer[]> {
      return folders.length === 0 ? [] : splitZ(await run('occupied', tree, [], { input: joinZ(folders), signal }));
    },

    /** Returns the paths from which no file can be removed: folders, and paths that the file system refuses. */
    async unremovable(tree: string, paths: readonly Buffer[], signal?: AbortSignal): Promise<Buffer[]> {
      return paths.length === 0 ? [] : splitZ(await run('unremovable', tree, [], { input: joinZ(paths), signal }));
    },

    /**
     * Ensures that the `.git` of a tree is a file with this text.
     * @param quarantine folder for a different `.git`
     * @returns whether a different `.git` existed
     */
    async restoreGitFile(tree: string, text: string, quarantine: string, signal?: AbortSignal): Promise<boolean> {
      const name = temporaryName();
      const output = await run('restore', tree, [name], { input: text, signal, writes: true });
      const moved = output.toString() === 'moved';
      if (moved) await quarantineEntry(tree, name, quarantine);
      return moved;
    },

    /** Assigns the content of a tree to the owner of the tree, where the server is root. */
    unifyOwner: (tree: string): Promise<void> => unifyOwner(confine, identities, tree),

    /** Moves the `.git` of a nested repository out of the tree, so that its other files become ordinary files. */
    async unnest(tree: string, folder: Buffer, quarantine: string, signal?: AbortSignal): Promise<void> {
      const name = temporaryName();
      await run('unnest', tree, [name], { input: joinZ([folder]), signal, writes: true });
      await quarantineEntry(tree, name, quarantine);
    },
  };
}

function temporaryName(): string {
  return `.pullwright-${randomUUID()}`;
}

/** Moves a name of the server directly below the tree: no part of its path can be a link, and rename follows none. */
async function quarantineEntry(tree: string, name: string, quarantine: string): Promise<void> {
  await mkdir(quarantine, { recursive: true, mode: 0o700 });
  try {
    await rename(join(tree, name), join(quarantine, randomUUID()));
  } catch (cause) {
    if (storageFailure(cause)) throw cause;
    throw new AppError('workspace_tampered', 'A .git of the workspace could not be moved to quarantine.', { cause });
  }
}
