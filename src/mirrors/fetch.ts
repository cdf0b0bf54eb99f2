import { createHash, randomUUID } from 'node:crypto';
import { appendFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../files/entries.ts';
import type { Layout } from '../files/layout.ts';
import type { Git, GitOptions } from '../git/git.ts';
import { type RepoRef, remoteUrl } from '../git/repo-url.ts';
import type { Trash } from '../trees/trash.ts';
import type { RemoteHeads } from './remote-heads.ts';
import { isShallow } from './shallow.ts';
import { removeLeftovers } from './stale-git-files.ts';

/** A fetch into a new mirror that takes longer starts again with the newest commits only. */
const FULL_HISTORY_TIMEOUT_MS = 3000;

const FETCHED_REFS = 'refs/fetched/';

/** A branch of the remote and its newest commit. */
type Branch = { branch: string; sha: string };

export type Fetch = {
  mirror: string;
  repo: RepoRef;
  heads: RemoteHeads;
  /** Names of the branches to fetch. The remote need not have them. */
  branches: readonly string[];
  /** Whether a new mirror may start without the whole history. */
  mayBeShallow: boolean;
  options: Pick<GitOptions, 'signal' | 'onProgress'>;
};

type Deps = { git: Git; layout: Layout; trash: Trash };

/**
 * Fetches branches into a mirror, and creates the mirror first if needed.
 * @returns the commits of all branches in the mirror, by `fetchedRef`
 */
export async function fetchBranches(deps: Deps, fetch: Fetch): Promise<ReadonlyMap<string, string>> {
  const { git } = deps;
  const { mirror } = fetch;
  const wanted = branchesOf(fetch.heads).filter(({ branch }) => fetch.branches.includes(branch));
  if (await exists(mirror)) return updateMirror(git, fetch, wanted);
  await createMirror(deps, fetch, wanted);
  return fetchedCommits(git, mirror);
}

/**
 * Returns the ref of a branch in the mirror. It is a hash: `a` may be replaced by `a/b` on the remote, or differ from `A` by
 * case only, and such names clash as files.
 */
export function fetchedRef(branch: string): string {
  return `${FETCHED_REFS}${createHash('sha256').update(branch).digest('hex').slice(0, 32)}`;
}

function fetchedCommits(git: Git, mirror: string): Promise<Map<string, string>> {
  return git.query(mirror).refs(FETCHED_REFS);
}

function branchesOf({ branches }: RemoteHeads): Branch[] {
  return [...branches].map(([branch, sha]) => ({ branch, sha }));
}

async function createMirror({ git, layout, trash }: Deps, fetch: Fetch, wanted: readonly Branch[]): Promise<void> {
  const staged = join(layout.data.staging, randomUUID());
  try {
    await git.run(['init', '--quiet', '--bare', '--template='], { gitDir: staged });
    // Also in the configuration, for a person who runs git in the mirror.
    await appendFile(join(staged, 'config'), '[gc]\n\tauto = 0\n');
    await fetchHistory(git, staged, fetch, wanted);
    await rename(staged, fetch.mirror);
  } catch (error) {
    await trash.add(staged, layout.data.trash);
    throw error;
  }
}

/** Fetches the whole history within a time limit, or only the newest commits. */
async function fetchHistory(git: Git, gitDir: string, fetch: Fetch, wanted: readonly Branch[]): Promise<void> {
  const { mayBeShallow, options } = fetch;
  if (!mayBeShallow) return runFetch(git, gitDir, fetch, wanted);
  const timeout = AbortSignal.timeout(FULL_HISTORY_TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  try {
    await runFetch(git, gitDir, { ...fetch, options: { ...options, signal } }, wanted);
  } catch (error) {
    if (!timeout.aborted || options.signal?.aborted) throw error;
    await removeLeftovers(gitDir, '.');
    await runFetch(git, gitDir, fetch, wanted, '--depth=1');
  }
}

/** Completes the history of a shallow mirror first: a merge needs it. */
async function updateMirror(git: Git, fetch: Fetch, wanted: readonly Branch[]): Promise<ReadonlyMap<string, string>> {
  const { mirror } = fetch;
  const present = await fetchedCommits(git, mirror);
  const heads = (await isShallow(mirror)) ? branchesOf(fetch.heads) : [];
  const shallow = heads.filter(({ branch }) => present.has(fetchedRef(branch)));
  const changed = wanted.filter(({ branch, sha }) => present.get(fetchedRef(branch)) !== sha);
  if (changed.length + shallow.length === 0) return present;
  try {
    if (shallow.length > 0) await runFetch(git, mirror, fetch, shallow, '--unshallow');
    if (changed.length > 0) await runFetch(git, mirror, fetch, changed);
    return await fetchedCommits(git, mirror);
  } catch (error) {
    await removeLeftovers(mirror, FETCHED_REFS);
    throw error;
  }
}

async function runFetch(
  git: Git,
  gitDir: string,
  { repo, options }: Pick<Fetch, 'repo' | 'options'>,
  branches: readonly Branch[],
  ...depth: string[]
): Promise<void> {
  const refspecs = branches.map(({ branch }) => `+refs/heads/${branch}:${fetchedRef(branch)}`);
  const flags = ['--progress', '--no-tags', '--no-write-fetch-head', '--no-auto-gc', '--no-recurse-submodules'];
  await git.run(['fetch', ...flags, ...depth, '--', remoteUrl(repo), ...refspecs], { gitDir, repo, ...options });
}
