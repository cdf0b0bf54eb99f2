import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { entries, namesIn } from '../files/entries.ts';

/**
 * Deletes the leftovers of a killed git: lock files, on which the next command would fail, and incomplete packs. No git may
 * be running on these refs.
 * @param refs folder of refs to search for locks, such as `refs/fetched`; `.` for the whole git directory
 */
export async function removeLeftovers(gitDir: string, refs: string): Promise<void> {
  await removeLocks(join(gitDir, refs));
  const packs = join(gitDir, 'objects', 'pack');
  for (const name of await namesIn(packs)) {
    if (name.startsWith('tmp_') || name.startsWith('.tmp-')) await rm(join(packs, name), { force: true });
  }
}

/** No ref ends with `.lock` (git-check-ref-format), so only locks match. */
async function removeLocks(folder: string): Promise<void> {
  for (const entry of await entries(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== 'objects') await removeLocks(path);
    else if (entry.name.endsWith('.lock')) await rm(path, { force: true });
  }
}
