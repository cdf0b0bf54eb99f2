import { AppError } from '../errors/app-error.ts';
import type { Git } from '../git/git.ts';
import { type RepoRef, remoteUrl } from '../git/repo-url.ts';

/** The branches of a remote by name, its tags, and the branch that its HEAD names. */
export type RemoteHeads = {
  branches: ReadonlyMap<string, string>;
  tags: ReadonlySet<string>;
  defaultBranch: string | undefined;
};

/**
 * Lists the branches and tags of a remote in one round trip. It needs no mirror.
 * @throws AppError as `git.run`
 */
export async function listRemote(git: Git, repo: RepoRef, signal?: AbortSignal): Promise<RemoteHeads> {
  const patterns = ['HEAD', 'refs/heads/*', 'refs/tags/*'];
  const { stdout } = await git.run(['ls-remote', '--symref', '--', remoteUrl(repo), ...patterns], { repo, signal });
  const branches = new Map<string, string>();
  const tags = new Set<string>();
  let defaultBranch: string | undefined;
  for (const line of stdout.toString().split('\n')) {
    const [value = '', ref = ''] = line.split('\t');
    if (ref.startsWith('refs/heads/')) branches.set(ref.slice('refs/heads/'.length), value);
    if (ref.startsWith('refs/tags/')) tags.add(ref.slice('refs/tags/'.length));
    if (ref === 'HEAD' && value.startsWith('ref: refs/heads/')) defaultBranch = value.slice('ref: refs/heads/'.length);
  }
  return { branches, tags, defaultBranch };
}

/**
 * Returns the branch that a ticket starts from.
 * @param wanted the client's choice; the remote's default branch without it
 * @throws AppError `repo_empty`, `base_branch_not_found`
 */
export function chooseBase(heads: RemoteHeads, repo: RepoRef, wanted?: string): { branch: string; sha: string } {
  const name = `${repo.owner}/${repo.name}`;
  if (heads.branches.size === 0) throw new AppError('repo_empty', `${name} has no branch with a commit.`);
  const branch = wanted ?? heads.defaultBranch;
  if (branch === undefined) throw noBase(`The HEAD of ${name} names no branch, so base_branch is needed.`);
  const sha = heads.branches.get(branch);
  if (sha !== undefined) return { branch, sha };
  if (wanted === undefined) throw noBase(`The default branch of ${name}, ${branch}, does not exist.`);
  throw noBase(
    heads.tags.has(branch) ? `${branch} is a tag of ${name}, not a branch.` : `${name} has no branch ${branch}.`,
  );
}

function noBase(detail: string): AppError {
  return new AppError('base_branch_not_found', detail);
}
