import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { isMissing } from '../files/errors.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { removeTree } from '../trees/remove-tree.ts';

/** Returns the folder of an agent's conversation with a ticket. */
export function conversationFolder({ DATA_DIR }: Pick<Config, 'DATA_DIR'>, ticketId: string, agent: string): string {
  return join(DATA_DIR, 'conversations', ticketId, agent);
}

/** Deletes the conversations of a ticket, which no process may use. @returns whether there were any */
export async function deleteConversations(
  { DATA_DIR }: Pick<Config, 'DATA_DIR'>,
  sandbox: Pick<Sandbox, 'confine'>,
  logger: Logger | undefined,
  ticketId: string,
): Promise<boolean> {
  const trash = join(DATA_DIR, 'trash');
  const target = join(trash, randomUUID());
  // Synchronous: an agent that starts now must find the folder whole or create a new one.
  mkdirSync(trash, { recursive: true, mode: 0o700 });
  try {
    renameSync(join(DATA_DIR, 'conversations', ticketId), target);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
  const failure = await removeTree(sandbox.confine, target);
  // The next clean-up retries.
  if (failure !== undefined) logger?.warn({ err: failure, ticket_id: ticketId }, 'failed to delete conversation');
  return true;
}
