import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Content of a new repository: the files of a folder, a copy of a bare repository, nothing, or by default a README. */
export type Source = { from?: string; bare?: string; empty?: true };

/** Environment of git processes: only the repository's own configuration, and constant author and time. */
export const GIT_ENVIRONMENT = {
  PATH: process.env.PATH ?? '',
  HOME: '/nonexistent',
  LC_ALL: 'C',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'octocat',
  GIT_AUTHOR_EMAIL: 'octocat@users.noreply.github.com',
  GIT_AUTHOR_DATE: '2026-01-05T09:00:00Z',
  GIT_COMMITTER_NAME: 'GitHub',
  GIT_COMMITTER_EMAIL: 'noreply@github.com',
  GIT_COMMITTER_DATE: '2026-01-05T09:00:00Z',
};

const SETTINGS = `
[http]
  receivepack = true
[uploadpack]
  allowFilter = true
  allowReachableSHA1InWant = true
[receive]
  fsckObjects = true
  autogc = false
[gc]
  auto = 0
[standin]
`;

const PRE_RECEIVE = `#!/bin/sh
refused=0
while read -r old new ref; do
  if git config --get-all standin.protected | grep -qxF "$ref"; then
    echo "error: GH006: Protected branch update failed for $ref." >&2
    echo "error: Changes must be made through a pull request." >&2
    refused=1
  fi
done
exit $refused
`;

const runFile = promisify(execFile);

async function runGit(args: string[], environment: Record<string, string> = {}, cwd = '/'): Promise<string> {
  const { stdout } = await runFile('git', args, { cwd, env: { ...GIT_ENVIRONMENT, ...environment } });
  return stdout.trimEnd();
}

/** Runs git on a bare repository and returns its output. */
async function git(directory: string, args: string[], environment?: Record<string, string>, cwd?: string) {
  return await runGit(['--git-dir', directory, ...args], environment, cwd);
}

/** Creates a bare repository to serve, and returns the name of its default branch. */
export async function createBareRepository(
  directory: string,
  options: Source & { defaultBranch?: string; protectedBranches?: readonly string[] },
): Promise<string> {
  const { from, bare, empty, defaultBranch = 'main', protectedBranches = [] } = options;
  if (bare === undefined) await runGit(['init', '--quiet', '--bare', '--initial-branch', defaultBranch, directory]);
  else await runGit(['clone', '--quiet', '--mirror', resolve(bare), directory]);

  const protectedRefs = protectedBranches.map((branch) => `  protected = refs/heads/${branch}\n`);
  await appendFile(join(directory, 'config'), SETTINGS + protectedRefs.join(''));
  await mkdir(join(directory, 'hooks'), { recursive: true });
  await writeFile(join(directory, 'hooks', 'pre-receive'), PRE_RECEIVE, { mode: 0o755 });

  if (options.defaultBranch !== undefined) {
    await git(directory, ['symbolic-ref', 'HEAD', `refs/heads/${options.defaultBranch}`]);
  }
  if (bare === undefined && !empty) {
    await commit(directory, 'HEAD', 'First commit', (index) =>
      from === undefined
        ? addFiles(directory, index, { 'README.md': 'A repository.\n' })
        : git(directory, ['add', '--all', '.'], { ...index, GIT_WORK_TREE: resolve(from) }, resolve(from)),
    );
  }
  return await git(directory, ['symbolic-ref', '--short', 'HEAD']);
}

/**
 * Commits files to a branch. A new branch starts from the default one.
 * @param files contents by path; other files stay unchanged
 * @returns the commit's hash
 */
export async function commitFiles(
  directory: string,
  branch: string,
  files: Record<string, string>,
  message: string,
): Promise<string> {
  return await commit(directory, `refs/heads/${branch}`, message, (index) => addFiles(directory, index, files));
}

async function commit(
  directory: string,
  ref: string,
  message: string,
  fillIndex: (environment: { GIT_INDEX_FILE: string }) => Promise<unknown>,
): Promise<string> {
  const index = { GIT_INDEX_FILE: join(directory, `${randomUUID()}.index`) };
  const parent = (await commitAt(directory, ref)) ?? (await commitAt(directory, 'HEAD'));
  if (parent) await git(directory, ['read-tree', parent], index);
  await fillIndex(index);
  const tree = await git(directory, ['write-tree'], index);
  await rm(index.GIT_INDEX_FILE);
  const sha = await git(directory, ['commit-tree', tree, '-m', message, ...(parent ? ['-p', parent] : [])]);
  await git(directory, ['update-ref', ref, sha]);
  return sha;
}

async function addFiles(directory: string, index: { GIT_INDEX_FILE: string }, files: Record<string, string>) {
  for (const [path, content] of Object.entries(files)) {
    const written = runFile('git', ['--git-dir', directory, 'hash-object', '-w', '--stdin'], { env: GIT_ENVIRONMENT });
    written.child.stdin?.end(content);
    const blob = (await written).stdout.trimEnd();
    await git(directory, ['update-index', '--add', '--cacheinfo', `100644,${blob},${path}`], index);
  }
}

/** Resolves a ref or hash to a commit hash; undefined when it does not exist. */
export async function commitAt(directory: string, name: string): Promise<string | undefined> {
  return await git(directory, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`]).catch(
    () => undefined,
  );
}

/** Lists branches with their commits, sorted by name. */
export async function branchesOf(directory: string): Promise<{ name: string; sha: string }[]> {
  const lines = await git(directory, ['for-each-ref', '--format=%(objectname) %(refname:strip=2)', 'refs/heads']);
  return lines === '' ? [] : lines.split('\n').map((line) => ({ sha: line.slice(0, 40), name: line.slice(41) }));
}

/** Counts the commits of `head` that `base` does not contain. */
export async function commitsAhead(directory: string, base: string, head: string): Promise<number> {
  return Number(await git(directory, ['rev-list', '--count', `${base}..${head}`]));
}
