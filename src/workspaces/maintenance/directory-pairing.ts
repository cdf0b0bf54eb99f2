import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { exists } from '../../files/entries.ts';
import { isMissing } from '../../files/errors.ts';
import type { Layout } from '../../files/layout.ts';
import { readRecord } from '../ticket-record.ts';

/**
 * Makes sure that TICKETS_ROOT is that of this DATA_DIR, by an id in both. In a folder that is not mounted, or is another
 * one, each workspace looks like one that was removed; and what is in it may be that of another server. To be called before
 * anything in either is changed. Folders that have no id yet are given one, when the workspaces are there or nothing needs them.
 * @throws Error naming the setting and what to do
 */
export async function checkDirectoryPairing({ data, tickets, owner, ticket }: Layout): Promise<void> {
  const id = (await readId(owner.data)) ?? (await writeId(owner.data));
  const found = await readId(owner.tickets);
  if (found === id) return;
  const dataDir = dirname(owner.data);
  const root = `TICKETS_ROOT (${tickets.root})`;
  if (found !== undefined) {
    throw new Error(
      `${root} belongs to another DATA_DIR than ${dataDir}. Set the two that belong together, or give this server a TICKETS_ROOT of its own. If the other DATA_DIR is gone for good, delete ${owner.tickets}.`,
    );
  }
  const wanted = await ticketsWithFiles(data.gitDirs);
  const there = await Promise.all(wanted.map((ticketId) => exists(ticket(ticketId).workspace)));
  if (wanted.length > 0 && !there.includes(true)) {
    throw new Error(
      `${root} holds no workspace of the tickets in DATA_DIR (${dataDir}), which have ${wanted.length}. Mount it, or set TICKETS_ROOT to the folder that holds them. If they are lost for good, copy ${owner.data} to ${owner.tickets}: what was committed comes back.`,
    );
  }
  await mkdir(tickets.root, { recursive: true });
  await writeId(owner.tickets, id);
}

/** Tickets that have a workspace, by what their git directories say. One whose record cannot be read is left alone anyhow. */
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

/** Undefined also for a file that was cut short when it was written. */
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
