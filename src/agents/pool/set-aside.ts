import { rename } from 'node:fs/promises';
import { AppError } from '../../errors/app-error.ts';
import type { Trash } from '../../trees/trash.ts';

/** Failures that the files of a conversation can cause. An agent can write anything into them. */
const CONVERSATION_FAILURES: ReadonlySet<string> = new Set([
  'agent_protocol',
  'agent_crashed',
  'agent_unavailable',
  'workspace_tampered',
  'workspace_unreadable',
]);

/** Returns whether an agent that failed to start might start without its conversation. */
export function mayBeConversation(error: unknown): boolean {
  return !(error instanceof AppError) || CONVERSATION_FAILURES.has(error.code);
}

/**
 * Moves a folder aside while a task creates it again. Then the old folder becomes trash; if the task fails, it returns to its path.
 * Renames the folder itself and opens nothing in it.
 * @throws the error of the task
 */
export async function setAside<T>(
  folder: string,
  { trash, trashFolder }: { trash: Trash; trashFolder: string },
  task: () => Promise<T>,
): Promise<T> {
  const aside = `${folder}.aside`;
  // A killed server may have left this folder.
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
