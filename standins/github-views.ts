import {
  type Account,
  ANONYMOUS,
  type CheckRun,
  type Comment,
  canPush,
  type Pull,
  type Repository,
} from './github-model.ts';

// JSON of the REST API, limited to the fields that clients of pull requests read: https://docs.github.com/rest

const API = 'https://api.github.com';
const WEB = 'https://github.com';

export function userView(login: string): object {
  return { login, type: login.endsWith('[bot]') ? 'Bot' : 'User', html_url: `${WEB}/${login}` };
}

export function repositoryView(repository: Repository, account: Account): object {
  const fullName = `${repository.owner}/${repository.name}`;
  const permissions = { admin: false, push: canPush(repository, account), pull: true };
  return {
    id: repository.id,
    node_id: `R_${repository.id}`,
    name: repository.name,
    full_name: fullName,
    private: repository.private,
    owner: userView(repository.owner),
    url: `${API}/repos/${fullName}`,
    html_url: `${WEB}/${fullName}`,
    clone_url: `${WEB}/${fullName}.git`,
    default_branch: repository.defaultBranch,
    archived: false,
    ...(account === ANONYMOUS ? {} : { permissions }),
  };
}

export function pullView(repository: Repository, pull: Pull): object {
  const fullName = `${repository.owner}/${repository.name}`;
  const repo = { id: repository.id, name: repository.name, full_name: fullName };
  return {
    id: repository.id * 10_000 + pull.number,
    node_id: `PR_${repository.id}_${pull.number}`,
    number: pull.number,
    state: pull.state,
    draft: pull.draft,
    title: pull.title,
    body: pull.body,
    user: userView(pull.author),
    url: `${API}/repos/${fullName}/pulls/${pull.number}`,
    html_url: pull.url,
    head: { label: `${repository.owner}:${pull.head}`, ref: pull.head, sha: pull.sha, repo },
    base: { label: `${repository.owner}:${pull.base}`, ref: pull.base, repo },
    labels: pull.labels.map(labelView),
    requested_reviewers: pull.reviewers.map(userView),
    created_at: pull.createdAt,
    updated_at: pull.updatedAt,
    closed_at: pull.closedAt,
    merged_at: null,
  };
}

export function labelView(name: string): object {
  return { name, color: 'ededed', description: null };
}

export function commentView(pull: Pull, comment: Comment): object {
  return {
    id: comment.id,
    html_url: `${pull.url}#issuecomment-${comment.id}`,
    user: userView(comment.author),
    body: comment.body,
    created_at: comment.createdAt,
    updated_at: comment.createdAt,
  };
}

export function branchView(repository: Repository, { name, sha }: { name: string; sha: string }): object {
  const url = `${API}/repos/${repository.owner}/${repository.name}/commits/${sha}`;
  return { name, commit: { sha, url }, protected: repository.protectedBranches.includes(name) };
}

export function refView(ref: string, sha: string): object {
  return { ref, object: { type: 'commit', sha } };
}

export function checkRunView({ name, sha, status, conclusion }: CheckRun): object {
  return { name, head_sha: sha, status, conclusion };
}
