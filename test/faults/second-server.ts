import type { Stage } from './stage.ts';

/** A second server on the folders of the first: it refuses to start, or it is the server from then on. */
export async function startServerBeside({ world }: Stage): Promise<void> {
  try {
    await world.start();
  } catch {
    // It found the folders in use.
  }
}
