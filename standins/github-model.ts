import { commitAt } from './bare-repository.ts';

/** A recorded request. */
export type GitHubRequest = {
  /** Milliseconds since the epoch. */
  time: number;
  kind: 'rest' | 'git';
  method: string;
  /** Path with query, without `/api/v3`. */
  path: string;
  token: string | undefined;
  /** Raw JSON of a REST request. */
  body: string;
  status: number | undefined;
};

/** The owner of a token. `push`: write access; `scopes`: scopes of a classic token. */
export type Account = {
  login: string;
  push: boolean;
  scopes: readonly string[];
  /** Expiry of the token, in milliseconds since the epoch. */
  expiresAt?: number;
};

/** The account of requests without a token. */
export const ANONYMOUS: Account = { login: '', push: false, scopes: [] };

export type Repository = {
  id: number;
  owner: string;
  name: string;
  /** The bare repository. */
  directory: string;
  private: boolean;
  defaultBranch: string;
  protectedBranches: readonly string[];
  pulls: Pull[];
  checkRuns: CheckRun[];
};

export type Pull = {
  number: number;
  url: string;
  title: string;
  body: string | null;
  state: 'open' | 'closed';
  draft: boolean;
  head: string;
  base: string;
  /** Newest commit of the head branch while the pull request is open. */
  sha: string;
  author: string;
  labels: string[];
  reviewers: string[];
  comments: Comment[];
  createdAt: string;
  updatedAt: string;
  closedAt: string | null;
};

export type Comment = { id: number; author: string; body: string; createdAt: string };

export type CheckRun = {
  sha: string;
  name: string;
  status: 'queued' | 'in_progress' | 'completed';
  conclusion: 'success' | 'failure' | 'cancelled' | 'skipped' | null;
};

export function canRead(repository: Repository, { scopes }: Account): boolean {
  return !repository.private || scopes.includes('repo');
}

/** Returns whether an account may push to a repository and open pull requests. */
export function canPush(repository: Repository, { push, scopes }: Account): boolean {
  return push && (scopes.includes('repo') || (!repository.private && scopes.includes('public_repo')));
}

/** Updates the heads of open pull requests, and closes those whose branch is deleted. */
export async function refreshPulls({ directory, pulls }: Repository): Promise<void> {
  for (const pull of pulls.filter(({ state }) => state === 'open')) {
    const sha = await commitAt(directory, `refs/heads/${pull.head}`);
    if (sha === undefined) closePull(pull);
    else pull.sha = sha;
  }
}

export function closePull(pull: Pull): void {
  pull.state = 'closed';
  pull.closedAt = timestamp();
}

/** Returns the current time in GitHub's format. */
export function timestamp(): string {
  return new Date().toISOString().replace(/\.\d+/, '');
}
