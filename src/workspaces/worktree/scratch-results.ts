import { constants } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Git } from '../../git/git.ts';
import type { Worktree } from './snapshot.ts';

/**
 * Copies the objects of a tree, and no others, from a scratch folder to the git directory. They are copied as a pack, which git
 * checks.
 * @param known a commit whose objects the git directory has
 */
export async function keepObjects(git: Git, tree: Worktree, object: string, known: string): Promise<void> {
  const { gitDir, indexed, signal } = tree;
  const pack = new PassThrough();
  // Both commands report it. A canceled command may not listen.
  pack.on('error', () => {});
  const flags = ['--revs', '--stdout', '-q', '--threads=1'];
  const packing = git
    .run(['pack-objects', ...flags], { ...indexed, input: `${object}\n^${known}\n`, output: pack })
    .catch((error) => {
      pack.destroy(error);
      throw error;
    });
  const receiving = git.run(['index-pack', '--stdin', '--fix-thin'], { gitDir, input: pack, signal });
  const [packed, received] = await Promise.allSettled([packing, receiving]);
  if (packed.status === 'rejected') throw packed.reason;
  if (received.status === 'rejected') throw received.reason;
}

/** Moves the index of a scratch folder to the git directory, durably. */
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
