import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors/app-error.ts';
import type { Git } from '../git/git.ts';
import type { GitProgress } from '../git/git-progress.ts';
import type { RepoRef } from '../git/repo-url.ts';
import { hasCode } from './file-errors.ts';
import { writeGitFile } from './git-file.ts';
import type { Layout } from './layout.ts';
import { list } from './show-paths.ts';
import { writeRecord } from './ticket-record.ts';
import type { Trash } from './trash.ts';
import { findClashes, surveyTree } from './tree-survey.ts';

export type NewWorkspace = {
  ticketId: string;
  repo: RepoRef;
  branch: string;
  baseBranch: string;
  /** Newest commit of the base branch; it and `remoteHead` are in the mirror. */
  base: string;
  /** Newest commit of the ticket's branch on the remote, if it is there: the ticket goes on from it. */
  remoteHead: string | undefined;
  place: (() => string | undefined) | undefined;
};

/** Not bare, so that a person's git finds the directory through the workspace's .git file. The last value counts. */
const SETTINGS = '[core]\n\tbare = false\n[gc]\n\tauto = 0\n';

/**
 * In the ticket's git directory only: what a repository's .gitattributes say may change line ends, but never name a
 * program to run, nor another encoding.
 */
const ATTRIBUTES = '* !filter !working-tree-encoding !ident !diff !merge\n';

/**
 * Builds a workspace aside and publishes it by two renames, the workspace last: a workspace that exists is complete,
 * whenever the server is killed.
 * @returns notes for a person on what this server does not do with the repository
 * @throws AppError `path_clash`, `disk_full`
 */
export async function buildWorkspace(
  deps: { git: Git; layout: Layout; trash: Trash },
  wanted: NewWorkspace,
  options: { signal?: AbortSignal | undefined; onProgress?: ((progress: GitProgress) => void) | undefined },
): Promise<string[]> {
  const { git, layout, trash } = deps;
  const { workspace, gitDir } = layout.ticket(wanted.ticketId);
  const stagedGitDir = join(layout.data.staging, randomUUID());
  const staged = wanted.place?.() ?? join(layout.tickets.staging, randomUUID());
  try {
    await mkdir(staged, { recursive: true });
    await makeGitDir(git, stagedGitDir, layout.mirror(wanted.repo.url), wanted);
    const head = wanted.remoteHead ?? wanted.base;
    const survey = await surveyTree(git, stagedGitDir, head);
    if (await ignoresCase(staged)) {
      refuseClashes(survey.paths);
      await appendFile(join(stagedGitDir, 'config'), '[core]\n\tignoreCase = true\n');
    }
    await git.run(['read-tree', '-m', '-u', '-v', head], { gitDir: stagedGitDir, workTree: staged, ...options });
    await writeGitFile(staged, gitDir);
    await publish(deps, { stagedGitDir, gitDir, staged, workspace });
    return notesOn(survey);
  } catch (error) {
    await trash.discard(staged, layout.tickets.trash);
    await trash.discard(stagedGitDir, layout.data.trash);
    throw error;
  }
}

async function makeGitDir(git: Git, gitDir: string, mirror: string, wanted: NewWorkspace): Promise<void> {
  const { ticketId, repo, branch, baseBranch, base, remoteHead } = wanted;
  await git.run(['init', '--quiet', '--bare', '--template='], { gitDir });
  await mkdir(join(gitDir, 'info'), { recursive: true });
  await writeFile(join(gitDir, 'info', 'attributes'), ATTRIBUTES);
  await writeFile(join(gitDir, 'objects', 'info', 'alternates'), `${join(mirror, 'objects')}\n`);
  await writeFile(join(gitDir, 'HEAD'), `ref: refs/heads/${branch}\n`);
  await writeRecord(gitDir, { ticket_id: ticketId, repo_url: repo.url, base_branch: baseBranch });
  await appendFile(join(gitDir, 'config'), SETTINGS);
  const refs = [
    `update refs/heads/${branch} ${remoteHead ?? base}\n`,
    `update refs/remotes/origin/${baseBranch} ${base}\n`,
    ...(remoteHead === undefined ? [] : [`update refs/remotes/origin/${branch} ${remoteHead}\n`]),
  ];
  await git.run(['update-ref', '--stdin'], { gitDir, input: refs.join('') });
}

async function publish(
  { layout, trash }: { layout: Layout; trash: Trash },
  paths: { stagedGitDir: string; gitDir: string; staged: string; workspace: string },
): Promise<void> {
  // What a killed creation left: without its workspace it is nothing.
  await trash.discard(paths.gitDir, layout.data.trash);
  await rename(paths.stagedGitDir, paths.gitDir);
  try {
    await rename(paths.staged, paths.workspace);
  } catch (error) {
    await trash.discard(paths.gitDir, layout.data.trash);
    if (!hasCode(error, 'ENOTEMPTY') && !hasCode(error, 'EEXIST') && !hasCode(error, 'ENOTDIR')) throw error;
    throw new AppError('workspace_tampered', `${paths.workspace} exists and is not a workspace of this server.`, {
      cause: error,
      remedy: 'Move it away, or use another ticket id.',
    });
  }
}

async function ignoresCase(folder: string): Promise<boolean> {
  const probe = join(folder, 'Case');
  await writeFile(probe, '');
  try {
    await stat(join(folder, 'cASE'));
    return true;
  } catch {
    return false;
  } finally {
    await rm(probe);
  }
}

function refuseClashes(paths: readonly string[]): void {
  const clashes = findClashes(paths).map(([one, other]) => `${one} and ${other}`);
  if (clashes.length === 0) return;
  throw new AppError(
    'path_clash',
    `These differ by case only, which the disk does not tell apart: ${list(clashes, 5)}.`,
  );
}

function notesOn({ submodules, usesLfs }: { submodules: readonly string[]; usesLfs: boolean }): string[] {
  const notes: string[] = [];
  if (submodules.length > 0)
    notes.push(`Submodules are not followed; their folders are empty: ${list(submodules, 10)}.`);
  if (usesLfs) notes.push('The repository uses Git LFS; its large files are pointers here.');
  return notes;
}
