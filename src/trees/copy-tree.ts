import { fileURLToPath } from 'node:url';
import type { Confine } from '../sandbox/confined/confine.ts';
import { runNodeTool } from '../sandbox/confined/node-tool.ts';

const SCRIPT = fileURLToPath(new URL('copy-tree-tool.mjs', import.meta.url));
/** Programs that see the host walk the copy, so its depth and size are limited. */
const MAX_DEPTH = 8;
const MAX_FILES = 10_000;
const MAX_BYTES = 2 * 1024 ** 3;

/**
 * Copies the regular files of a folder that an agent can write to, even concurrently.
 * @param to existing folder of the server
 * @returns the number of skipped entries: links, devices, unreadable files, and files beyond the limits
 * @throws AppError like runNodeTool
 */
export async function copyTree(confine: Confine, from: string, to: string, signal?: AbortSignal): Promise<number> {
  const args = [from, to, MAX_DEPTH, MAX_FILES, MAX_BYTES].map(String);
  const limits = { fileMib: MAX_BYTES / 1024 ** 2 };
  return Number(await runNodeTool(confine, { script: SCRIPT, args, readable: [from], writable: [to], limits, signal }));
}
