import { constants } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Git } from '../../git/git.ts';
import type { Worktree } from './snapshot.ts';

/**
 * Copies the objects of a tree, and of nothing else, from a scratch folder into the git directory: as a pack, which git checks
 * while it takes it in.
 * @param known a commit whose objects are there already
 */
export async function keepObjects(git: Git, tree: Worktree, object: string, known: string): Promise<void> {
  const { gitDir, indexed, signal } = tree;
  const pack = new PassThrough();
  // Both commands report it; a canceled one may end before it listens.
  pack.on('error', () => {});
  const flags = ['--revs', '--stdout', '-q', '--threads=1'];
  const packing = git
    .run(['pack-objects', ...flags], { ...indexed, input: `${object}\n^${known}\n`, output: pack })
    .catch((error) => {
      pack.destroy(error);
      throw error;
    });
  const taking = git.run(['index-pack', '--stdin', '--fix-thin'], { gitDir, input: pack, signal });
  const [packed, taken] = await Promise.allSettled([packing, taking]);
  if (packed.status === 'rejected') throw packed.reason;
  if (taken.status === 'rejected') throw taken.reason;
}

/** Makes the index of a scratch folder that of the git directory, such that it survives a power loss. */
export async function publishIndex({ scratch, gitDir }: Pick<Worktree, 'scratch' | 'gitDir'>): Promise<void> {
  const path = join(scratch, 'index');
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const [uid, gid] = [process.getuid?.() ?? -1, process.getgid?.() ?? -1];
    if ((await file.stat()).uid !== uid) await file.chown(uid, gid);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(path, join(gitDir, 'index'));
}
