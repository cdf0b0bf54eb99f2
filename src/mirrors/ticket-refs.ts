import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { namesIn } from '../files/entries.ts';
import type { Git } from '../git/git.ts';

/** Refs that keep the commits that a ticket borrows: `refs/tickets/TICKET_ID/SHA`. */
export const TICKET_REFS = 'refs/tickets/';

export async function addRefs(git: Git, mirror: string, ticketId: string, commits: readonly string[]): Promise<void> {
  const lines = [...new Set(commits)].map((sha) => `update ${TICKET_REFS}${ticketId}/${sha} ${sha}\n`);
  await git.run(['update-ref', '--stdin'], { gitDir: mirror, input: lines.join('') });
}

/** Deletes the refs of the tickets that `isDeleted` selects. */
export async function deleteRefs(git: Git, mirror: string, isDeleted: (ticketId: string) => boolean): Promise<void> {
  const refs = await git.query(mirror).refs(TICKET_REFS);
  const lines = [...refs.keys()].filter((ref) => isDeleted(ref.split('/')[2] ?? '')).map((ref) => `delete ${ref}\n`);
  if (lines.length > 0) await git.run(['update-ref', '--stdin'], { gitDir: mirror, input: lines.join('') });
  // A git that failed, for example on a full disk, leaves empty folders here.
  const folder = join(mirror, TICKET_REFS);
  for (const name of (await namesIn(folder)).filter(isDeleted)) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
}
