import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { AppError } from '../errors/app-error.ts';
import { isMissing } from '../files/errors.ts';

/** What git cannot say about a ticket. It lies in the ticket's git directory, so that workspaces need no database. */
const TicketRecord = Type.Object({
  ticket_id: Type.String(),
  repo_url: Type.String(),
  base_branch: Type.String(),
  /** When the files of its workspace were removed, to be checked out again. */
  parked_at: Type.Optional(Type.String()),
});
export type TicketRecord = Static<typeof TicketRecord>;

const FILE = 'pullwright.json';

/** Whole or not at all, whenever the server is killed. */
export async function writeRecord(gitDir: string, record: TicketRecord): Promise<void> {
  const path = join(gitDir, FILE);
  await writeFile(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, { flush: true });
  await rename(`${path}.new`, path);
}

/**
 * The record in a git directory, or undefined when there is none. As all small files of DATA_DIR that a command looks at, it
 * is read at once: beside the store on the same disk, the way through the thread pool takes far longer than to read it.
 * @throws AppError `workspace_tampered` when it is no record
 */
export function readRecord(gitDir: string): TicketRecord | undefined {
  const text = readIfThere(join(gitDir, FILE));
  if (text === undefined) return undefined;
  try {
    return Value.Decode(TicketRecord, JSON.parse(text));
  } catch (error) {
    throw new AppError('workspace_tampered', `${basename(gitDir)}/${FILE} is not the record of a ticket.`, {
      cause: error,
      remedy: 'Put the file back, or move this git directory and the workspace away and run the command again.',
    });
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
