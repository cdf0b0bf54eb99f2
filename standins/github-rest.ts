import { Readable } from 'node:stream';
import { branchesOf, commitAt } from './bare-repository.ts';
import type { Reply } from './git-http.ts';
import {
  BAD_CREDENTIALS,
  FORBIDDEN,
  NOT_FOUND,
  NOT_JSON,
  ok,
  type RestAnswer,
  type RestRequest,
  UNAUTHENTICATED,
} from './github-answers.ts';
import { type Account, ANONYMOUS, canPush, canRead, type GitHubRequest, type Repository } from './github-model.ts';
import {
  addComment,
  addLabels,
  createPull,
  editPull,
  listComments,
  listLabels,
  listPulls,
  requestReviewers,
  showPull,
  withPull,
} from './github-pulls.ts';
import { branchView, checkRunView, refView, repositoryView, userView } from './github-views.ts';

type Permission = 'read' | 'login' | 'push';
type Handler = (request: RestRequest) => RestAnswer | Promise<RestAnswer>;

/** Routes below `/repos/OWNER/NAME`, with the permission that each requires. */
const ROUTES = [
  on('GET', '', 'read', ({ repository, account }) => ok(repositoryView(repository, account))),
  on('GET', '/branches', 'read', listBranches),
  on('GET', '/branches/:branch(.+)', 'read', showBranch),
  on('GET', '/git/ref/:ref(.+)', 'read', showRef),
  on('GET', '/commits/:ref/check-runs', 'read', listCheckRuns),
  on('GET', '/collaborators/:login/permission', 'login', showPermission),
  on('GET', '/pulls', 'read', listPulls),
  on('POST', '/pulls', 'push', createPull),
  on('GET', '/pulls/:number', 'read', withPull(showPull)),
  on('PATCH', '/pulls/:number', 'push', withPull(editPull)),
  on('POST', '/pulls/:number/requested_reviewers', 'push', withPull(requestReviewers)),
  on('GET', '/issues/:number/labels', 'read', withPull(listLabels)),
  on('POST', '/issues/:number/labels', 'push', withPull(addLabels)),
  on('GET', '/issues/:number/comments', 'read', withPull(listComments)),
  on('POST', '/issues/:number/comments', 'login', withPull(addComment)),
];

function on(method: string, path: string, permission: Permission, handler: Handler) {
  const named = `/repos/:owner/:name${path}`.replace(
    /:(\w+)(?:\((.+?)\))?/g,
    (_, name, inner = '[^/]+') => `(?<${name}>${inner})`,
  );
  return { method, permission, handler, pattern: new RegExp(`^${named}$`) };
}

/** Data of the API; `accounts` by login. */
export type RestContext = {
  find(owner: string, name: string): Repository | undefined;
  accounts: ReadonlyMap<string, Account>;
};

/**
 * Answers a REST request by https://docs.github.com/rest. Unreadable repositories return 404.
 * @param account undefined for an unknown token
 */
export async function answerRest(
  context: RestContext,
  request: GitHubRequest,
  account: Account | undefined,
): Promise<Reply> {
  const { status, body } = account ? await route(context, request, account) : BAD_CREDENTIALS;
  const headers: Record<string, string> = {
    'content-type': 'application/json; charset=utf-8',
    'x-github-request-id': 'STAND:IN',
    'x-ratelimit-limit': '5000',
    'x-ratelimit-remaining': '4999',
    'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 3600),
  };
  if (account && account !== ANONYMOUS) headers['x-oauth-scopes'] = account.scopes.join(', ');
  return { status, headers, body: Readable.from([JSON.stringify(body)]) };
}

async function route(
  { find, accounts }: RestContext,
  { method, path, body }: GitHubRequest,
  account: Account,
): Promise<RestAnswer> {
  const { pathname, searchParams: query } = new URL(path, 'http://stand-in');
  if (pathname === '/') return ok({ current_user_url: 'https://api.github.com/user' });
  if (pathname === '/user') return account === ANONYMOUS ? UNAUTHENTICATED : ok(userView(account.login));

  for (const { permission, handler, pattern } of ROUTES.filter((candidate) => candidate.method === method)) {
    const groups = pattern.exec(pathname)?.groups;
    if (!groups) continue;
    const parameters = decode(groups);
    const repository = find(parameters.owner ?? '', parameters.name ?? '');
    if (!repository || !canRead(repository, account)) return NOT_FOUND;
    if (permission !== 'read' && account === ANONYMOUS) return UNAUTHENTICATED;
    if (permission === 'push' && !canPush(repository, account)) return FORBIDDEN;
    const values = parseObject(body);
    if (!values) return NOT_JSON;
    return await handler({ account, repository, query, body: values, parameters, accounts });
  }
  return NOT_FOUND;
}

function decode(groups: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(groups).map(([name, value = '']) => [name, decodeURIComponent(value)]));
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json || '{}');
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

async function listBranches({ repository }: RestRequest): Promise<RestAnswer> {
  const branches = await branchesOf(repository.directory);
  return ok(branches.map((branch) => branchView(repository, branch)));
}

async function showBranch({ repository, parameters: { branch = '' } }: RestRequest): Promise<RestAnswer> {
  const sha = await commitAt(repository.directory, `refs/heads/${branch}`);
  return sha === undefined ? NOT_FOUND : ok(branchView(repository, { name: branch, sha }));
}

async function showRef({ repository, parameters: { ref = '' } }: RestRequest): Promise<RestAnswer> {
  const sha = await commitAt(repository.directory, `refs/${ref}`);
  return sha === undefined ? NOT_FOUND : ok(refView(`refs/${ref}`, sha));
}

async function listCheckRuns({ repository, parameters: { ref = '' } }: RestRequest): Promise<RestAnswer> {
  const sha = await commitAt(repository.directory, ref);
  if (sha === undefined) return NOT_FOUND;
  const runs = repository.checkRuns.filter((run) => run.sha === sha);
  return ok({ total_count: runs.length, check_runs: runs.map(checkRunView) });
}

function showPermission({ repository, accounts, parameters: { login = '' } }: RestRequest): RestAnswer {
  const account = accounts.get(login);
  const permission = account?.push ? 'write' : account || !repository.private ? 'read' : 'none';
  return ok({ permission, role_name: permission, user: userView(login) });
}
