import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { entries, namesIn } from '../files/entries.ts';

/**
 * Deletes what a killed git leaves in a git directory: lock files that would stop the next command, and half a pack.
 * Only where no git runs on these refs.
 * @param refs folder of refs to look through for locks, such as `refs/fetched`; `.` for the whole git directory
 */
export async function removeLeftovers(gitDir: string, refs: string): Promise<void> {
  await removeLocks(join(gitDir, refs));
  const packs = join(gitDir, 'objects', 'pack');
  for (const name of await namesIn(packs)) {
    if (name.startsWith('tmp_') || name.startsWith('.tmp-')) await rm(join(packs, name), { force: true });
  }
}

/** No ref ends with `.lock` (git-check-ref-format), so no name is mistaken for one. */
async function removeLocks(folder: string): Promise<void> {
  for (const entry of await entries(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== 'objects') await removeLocks(path);
    else if (entry.name.endsWith('.lock')) await rm(path, { force: true });
  }
}
