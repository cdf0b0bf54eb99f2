import { rename } from 'node:fs/promises';
import { AppError } from '../../errors/app-error.ts';
import type { Trash } from '../../trees/trash.ts';

/** Failures of an agent that may lie in the files of its conversation, in whose folder an agent can write what it likes. */
const MAY_BE_CONVERSATION: ReadonlySet<string> = new Set([
  'agent_protocol',
  'agent_crashed',
  'agent_unavailable',
  'workspace_tampered',
  'workspace_unreadable',
]);

/** Returns whether an agent that failed to start might start without its conversation. */
export function mayBeConversation(error: unknown): boolean {
  return !(error instanceof AppError) || MAY_BE_CONVERSATION.has(error.code);
}

/**
 * Runs a task that makes a folder again, with the old one out of the way: it becomes trash, or, when the task fails, it is put back.
 * Only the folder itself is renamed; nothing in it is opened.
 * @throws the error of the task
 */
export async function setAside<T>(
  folder: string,
  { trash, trashFolder }: { trash: Trash; trashFolder: string },
  task: () => Promise<T>,
): Promise<T> {
  const aside = `${folder}.aside`;
  // One may be left of a server that was killed.
  await trash.add(aside, trashFolder);
  await rename(folder, aside);
  try {
    const value = await task();
    await trash.add(aside, trashFolder);
    return value;
  } catch (error) {
    await trash.add(folder, trashFolder);
    await rename(aside, folder);
    throw error;
  }
}
