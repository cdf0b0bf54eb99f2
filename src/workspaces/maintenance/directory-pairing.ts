import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { exists } from '../../files/entries.ts';
import { isMissing } from '../../files/errors.ts';
import type { Layout } from '../../files/layout.ts';
import { readRecord } from '../ticket-record.ts';

/**
 * Checks that TICKETS_ROOT belongs to DATA_DIR, by an id in both. With a folder that is not mounted, all workspaces would look
 * removed, and another folder may belong to another server. It must be called before anything in either folder changes. Folders
 * without an id get one, when any workspace exists or none is expected.
 * @throws Error with the setting and the remedy
 */
export async function checkDirectoryPairing({ data, tickets, pairing, ticket }: Layout): Promise<void> {
  const id = (await readId(pairing.data)) ?? (await writeId(pairing.data));
  const ticketsId = await readId(pairing.tickets);
  if (ticketsId === id) return;
  const dataDir = dirname(pairing.data);
  const root = `TICKETS_ROOT (${tickets.root})`;
  if (ticketsId !== undefined) {
    throw new Error(
      `${root} belongs to another DATA_DIR than ${dataDir}. Set the two that belong together, or give this server a TICKETS_ROOT of its own. If the other DATA_DIR is lost, delete ${pairing.tickets}.`,
    );
  }
  const expected = await ticketsWithFiles(data.gitDirs);
  const found = await Promise.all(expected.map((ticketId) => exists(ticket(ticketId).workspace)));
  if (expected.length > 0 && !found.includes(true)) {
    throw new Error(
      `${root} holds no workspace of the ${expected.length} tickets in DATA_DIR (${dataDir}). Mount it, or set TICKETS_ROOT to the folder with the workspaces. If they are lost, copy ${pairing.data} to ${pairing.tickets} to restore the committed work.`,
    );
  }
  await mkdir(tickets.root, { recursive: true });
  await writeId(pairing.tickets, id);
}

/** Lists the tickets that have a workspace according to their records. A ticket with an invalid record is skipped. */
async function ticketsWithFiles(gitDirs: string): Promise<string[]> {
  return (await readdir(gitDirs)).flatMap((name) => {
    try {
      const record = readRecord(join(gitDirs, name));
      return record === undefined || record.parked_at !== undefined ? [] : [record.ticket_id];
    } catch {
      return [];
    }
  });
}

/** Returns undefined also for a file that was not written completely. */
async function readId(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim() || undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function writeId(file: string, id: string = randomUUID()): Promise<string> {
  await writeFile(file, `${id}\n`, { flush: true });
  return id;
}
