import { AppError } from '../../errors/app-error.ts';
import type { GitOptions } from '../../git/git.ts';
import { parseRepoUrl, remoteUrl } from '../../git/repo-url.ts';
import { listRemote } from '../../mirrors/remote-heads.ts';
import type { WorkspaceContext } from '../context.ts';
import { headOf, type OpenTicket } from '../open-ticket.ts';

/**
 * Pushes the ticket's branch without force.
 * @returns the full name of the branch, and its commit on the remote
 * @throws AppError `push_rejected`, also when the branch is the remote's default branch; the errors of `git.run`
 */
export async function pushTicket(
  { git, mirrors, allowedHosts }: WorkspaceContext,
  ticket: OpenTicket,
  options: Pick<GitOptions, 'signal' | 'onProgress'>,
): Promise<{ ref: string; sha: string }> {
  const { gitDir, ref, pushedRef } = ticket;
  const repo = parseRepoUrl(ticket.repoUrl, allowedHosts);
  // It may have become the default branch since the ticket was created.
  refuseDefaultBranch((await listRemote(git, repo, options.signal)).defaultBranch, ticket.branch);
  const sha = await headOf(git, ticket);
  const flags = ['--porcelain', '--progress', '--no-verify', '--recurse-submodules=no'];
  try {
    await git.run(['push', ...flags, '--', remoteUrl(repo), `${sha}:${ref}`], { gitDir, repo, ...options });
  } finally {
    mirrors.invalidate(repo);
  }
  await git.run(['update-ref', '-m', 'push', pushedRef, sha], { gitDir });
  return { ref, sha };
}

/** The default branch holds reviewed work. The work of an agent is not reviewed. */
export function refuseDefaultBranch(defaultBranch: string | undefined, branch: string): void {
  if (defaultBranch !== branch) return;
  throw new AppError('push_rejected', `${branch} is the default branch of the repository; nothing is pushed to that.`, {
    remedy: 'Make another branch the default one, or use another ticket id.',
  });
}
