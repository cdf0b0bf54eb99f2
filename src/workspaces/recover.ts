import { chmod, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../config/logger.ts';
import type { Git } from '../git/git.ts';
import type { Layout } from './layout.ts';
import { removeLeftovers } from './leftovers.ts';
import type { Mirrors } from './mirrors.ts';
import { finishMove } from './move-workspace.ts';
import { findTicket } from './open-ticket.ts';
import type { Trash } from './trash.ts';

/**
 * Puts the folders in order before anything else uses them: makes them, clears what a killed server left half done,
 * and completes what it was about to do. No git of this server may be running.
 */
export async function recoverFolders(deps: {
  git: Git;
  layout: Layout;
  mirrors: Mirrors;
  trash: Trash;
  logger: Logger | undefined;
}): Promise<void> {
  const { git, layout, mirrors, trash, logger } = deps;
  const { data, tickets } = layout;
  for (const folder of Object.values(data)) await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const folder of [tickets.staging, tickets.trash, tickets.quarantine]) {
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0o700);
  }

  for (const name of await readdir(data.staging)) await trash.discard(join(data.staging, name), data.trash);
  for (const name of await readdir(tickets.staging)) await trash.discard(join(tickets.staging, name), tickets.trash);
  await trash.empty(data.trash);
  await trash.empty(tickets.trash);

  for (const name of await readdir(data.mirrors)) await removeLeftovers(join(data.mirrors, name), '.');
  const alive = new Set<string>();
  for (const name of await readdir(data.gitDirs)) {
    const gitDir = join(data.gitDirs, name);
    const ticketId = name.replace(/\.git$/, '');
    const ticket = await findTicket(layout, ticketId);
    if (!ticket) {
      logger?.info({ ticket_id: ticketId }, 'git directory without a workspace removed');
      await trash.discard(gitDir, data.trash);
      continue;
    }
    alive.add(ticketId);
    await removeLeftovers(gitDir, '.');
    await finishMove(git, ticket, data.staging, ticket.ref);
  }
  for (const name of await readdir(data.mirrors)) await mirrors.releaseAllBut(join(data.mirrors, name), alive);
}
