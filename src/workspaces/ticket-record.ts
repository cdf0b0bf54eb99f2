import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { AppError } from '../errors/app-error.ts';
import { isMissing } from '../files/errors.ts';

/** The record of a ticket. It is in the git directory, so that workspaces need no database. */
const TicketRecord = Type.Object({
  ticket_id: Type.String(),
  repo_url: Type.String(),
  base_branch: Type.String(),
  /** When the workspace was parked. */
  parked_at: Type.Optional(Type.String()),
});
export type TicketRecord = Static<typeof TicketRecord>;

const FILE = 'pullwright.json';

/** Writes the record atomically. */
export async function writeRecord(gitDir: string, record: TicketRecord): Promise<void> {
  const path = join(gitDir, FILE);
  await writeFile(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, { flush: true });
  await rename(`${path}.new`, path);
}

/**
 * Reads the record of a git directory. Small files of DATA_DIR are read synchronously: the thread pool, which the store's
 * disk I/O keeps busy, would take far longer than the read.
 * @returns undefined without a record
 * @throws AppError `workspace_tampered` for an invalid record
 */
export function readRecord(gitDir: string): TicketRecord | undefined {
  const text = readIfExists(join(gitDir, FILE));
  if (text === undefined) return undefined;
  try {
    return Value.Decode(TicketRecord, JSON.parse(text));
  } catch (error) {
    throw new AppError('workspace_tampered', `${basename(gitDir)}/${FILE} is not a valid ticket record.`, {
      cause: error,
      remedy: 'Restore the file, or move this git directory and the workspace away and run the command again.',
    });
  }
}

function readIfExists(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
