import { commitAt } from './bare-repository.ts';

/** A request as it was recorded. */
export type GitHubRequest = {
  /** Milliseconds since the epoch. */
  time: number;
  kind: 'rest' | 'git';
  method: string;
  /** With its query, without `/api/v3`. */
  path: string;
  token: string | undefined;
  /** JSON of a REST request, as it came. */
  body: string;
  status: number | undefined;
};

/** Somebody with a token. `push`: whether they may write; `scopes`: those of the token, as classic ones have them. */
export type Account = {
  login: string;
  push: boolean;
  scopes: readonly string[];
  /** Milliseconds since the epoch after which the token is nobody's. */
  expiresAt?: number;
};

/** Whoever shows no token. */
export const ANYBODY: Account = { login: '', push: false, scopes: [] };

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
  /** Newest commit of the head branch, as long as the pull request is open. */
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

export function mayRead(repository: Repository, { scopes }: Account): boolean {
  return !repository.private || scopes.includes('repo');
}

/** Whether somebody may push to the repository and open pull requests in it. */
export function mayPush(repository: Repository, { push, scopes }: Account): boolean {
  return push && (scopes.includes('repo') || (!repository.private && scopes.includes('public_repo')));
}

/** Brings the open pull requests in line with branches that moved; without its branch, one is closed. */
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

/** The time as GitHub writes it. */
export function timestamp(): string {
  return new Date().toISOString().replace(/\.\d+/, '');
}
