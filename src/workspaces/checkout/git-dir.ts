import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layout } from '../../files/layout.ts';
import type { Git } from '../../git/git.ts';
import { copyShallow } from '../../mirrors/shallow.ts';
import { type TicketRecord, writeRecord } from '../ticket-record.ts';

export type NewGitDir = {
  /** Short name of the branch that is checked out. */
  branch: string;
  /** Commits by full name. */
  refs: Readonly<Record<string, string>>;
  /** The mirror whose objects it borrows. */
  mirror: string;
  /** None for one that is no ticket's. */
  record?: TicketRecord;
};

/**
 * Not bare, so that a person's git finds the directory through the workspace's .git file. The last value counts. An index of
 * version 4 leaves out what paths have in common, a quarter of it.
 */
const SETTINGS = '[core]\n\tbare = false\n[gc]\n\tauto = 0\n[index]\n\tversion = 4\n';

/**
 * In the ticket's git directory only: what a repository's .gitattributes say may change line ends, but never name a
 * program to run, nor another encoding.
 */
const ATTRIBUTES = '* !filter !working-tree-encoding !ident !diff !merge\n';

/**
 * Makes git directories of tickets. `git init` tries the file system once; a directory is written like the one it made,
 * in the files of gitrepository-layout(5).
 * @param ignoresCase whether the disk of the workspaces does
 */
export function createGitDirFactory(git: Git, layout: Layout, ignoresCase: () => Promise<boolean>) {
  let tried: Promise<string> | undefined;

  async function configuration(): Promise<string> {
    const folder = join(layout.data.staging, randomUUID());
    try {
      await git.run(['init', '--quiet', '--bare', '--template='], { gitDir: folder });
      const ignoring = (await ignoresCase()) ? '[core]\n\tignoreCase = true\n' : '';
      return `${await readFile(join(folder, 'config'), 'utf8')}${SETTINGS}${ignoring}`;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  return async (gitDir: string, { branch, refs, mirror, record }: NewGitDir): Promise<void> => {
    tried ??= configuration();
    const config = await tried.catch((error) => {
      tried = undefined;
      throw error;
    });
    await mkdir(gitDir);
    for (const folder of ['info', 'objects/info', 'refs']) {
      await mkdir(join(gitDir, folder), { recursive: true });
    }
    const packedRefs = Object.entries(refs).map(([name, sha]) => `${sha} ${name}\n`);
    await Promise.all([
      writeFile(join(gitDir, 'config'), config),
      writeFile(join(gitDir, 'HEAD'), `ref: refs/heads/${branch}\n`),
      writeFile(join(gitDir, 'info', 'attributes'), ATTRIBUTES),
      writeFile(join(gitDir, 'objects', 'info', 'alternates'), `${join(mirror, 'objects')}\n`),
      writeFile(join(gitDir, 'packed-refs'), packedRefs.join(''), { flush: true }),
      record && writeRecord(gitDir, record),
      copyShallow(mirror, gitDir),
    ]);
  };
}
