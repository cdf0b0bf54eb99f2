import type { Stage } from './stage.ts';

/** Starts a second server on the folders of the first. It refuses to start, or takes over. */
export async function startServerBeside({ world }: Stage): Promise<void> {
  try {
    await world.start();
  } catch {
    // The folders are in use.
  }
}
