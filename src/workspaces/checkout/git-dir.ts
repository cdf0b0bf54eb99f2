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
  /** Commits by the full name of their ref. */
  refs: Readonly<Record<string, string>>;
  /** The mirror to borrow objects from. */
  mirror: string;
  /** None for a spare checkout. */
  record?: TicketRecord;
};

/**
 * Appended to the configuration of `git init`, so these values win. A person's git finds the directory through the .git file of
 * the workspace, so it is not bare. Version 4 of the index compresses paths, which saves a quarter.
 */
const SETTINGS = '[core]\n\tbare = false\n[gc]\n\tauto = 0\n[index]\n\tversion = 4\n';

/**
 * Overrides the .gitattributes of a repository: they may change line ends, but not run a program or change the encoding.
 */
const ATTRIBUTES = '* !filter !working-tree-encoding !ident !diff !merge\n';

/**
 * Creates git directories of tickets in the layout of gitrepository-layout(5). `git init` runs once, to probe the file system;
 * all directories get its configuration.
 * @param ignoresCase whether the file system of the workspaces ignores case
 */
export function createGitDirFactory(git: Git, layout: Layout, ignoresCase: () => Promise<boolean>) {
  let probed: Promise<string> | undefined;

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
    probed ??= configuration();
    const config = await probed.catch((error) => {
      probed = undefined;
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
