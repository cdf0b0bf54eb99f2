import { commitAt, commitsAhead } from './bare-repository.ts';
import {
  created,
  type FieldError,
  invalid,
  NOT_FOUND,
  ok,
  type RestAnswer,
  type RestRequest,
} from './github-answers.ts';
import { canPush, closePull, type Pull, type Repository, refreshPulls, timestamp } from './github-model.ts';
import { commentView, labelView, pullView } from './github-views.ts';

// Routes of pull requests: https://docs.github.com/rest/pulls/pulls and https://docs.github.com/rest/issues

const MAX_TITLE_CHARS = 256;
const MAX_BODY_CHARS = 65_536;

type Answer = RestAnswer | Promise<RestAnswer>;

/** Turns a handler of one pull request into a handler of its route. */
export function withPull(handler: (request: RestRequest, pull: Pull) => Answer) {
  return (request: RestRequest): Answer => {
    const pull = request.repository.pulls.find(({ number }) => String(number) === request.parameters.number);
    return pull ? handler(request, pull) : NOT_FOUND;
  };
}

/** Lists pull requests, newest first. Like GitHub, ignores a `head` without owner. */
export function listPulls({ repository, query }: RestRequest): RestAnswer {
  const state = query.get('state') ?? 'open';
  const head = query.get('head');
  const base = query.get('base');
  const size = Math.min(Number(query.get('per_page') ?? 30), 100);
  const start = (Number(query.get('page') ?? 1) - 1) * size;
  const found = repository.pulls
    .filter((pull) => state === 'all' || pull.state === state)
    .filter((pull) => !head?.includes(':') || head === `${repository.owner}:${pull.head}`)
    .filter((pull) => base === null || base === pull.base)
    .toReversed();
  return ok(found.slice(start, start + size).map((pull) => pullView(repository, pull)));
}

export function showPull({ repository }: RestRequest, pull: Pull): RestAnswer {
  return ok(pullView(repository, pull));
}

export async function createPull({ repository, account, body }: RestRequest): Promise<RestAnswer> {
  const { title, head, base } = body;
  const missing = Object.entries({ title, head, base }).filter(
    ([, value]) => typeof value !== 'string' || value === '',
  );
  if (missing.length > 0) return invalid(...missing.map(([field]) => ({ code: 'missing_field', field }) as const));

  const branches = { head: branchOf(repository, String(head)), base: String(base) };
  const headSha = await commitAt(repository.directory, `refs/heads/${branches.head}`);
  const baseSha = await commitAt(repository.directory, `refs/heads/${branches.base}`);
  if (headSha === undefined) return invalid({ code: 'invalid', field: 'head' });
  if (baseSha === undefined) return invalid({ code: 'invalid', field: 'base' });
  if ((await commitsAhead(repository.directory, baseSha, headSha)) === 0) {
    return invalid({ code: 'custom', message: `No commits between ${branches.base} and ${branches.head}` });
  }
  const errors = [...textErrors(body), ...duplicateErrors(repository, branches)];
  if (errors.length > 0) return invalid(...errors);

  const number = repository.pulls.length + 1;
  const now = timestamp();
  const pull: Pull = {
    number,
    url: `https://github.com/${repository.owner}/${repository.name}/pull/${number}`,
    title: String(title),
    body: typeof body.body === 'string' ? body.body : null,
    state: 'open',
    draft: body.draft === true,
    ...branches,
    sha: headSha,
    author: account.login,
    labels: [],
    reviewers: [],
    comments: [],
    createdAt: now,
    updatedAt: now,
    closedAt: null,
  };
  repository.pulls.push(pull);
  return created(pullView(repository, pull));
}

export async function editPull({ repository, body }: RestRequest, pull: Pull): Promise<RestAnswer> {
  const { state } = body;
  const errors = textErrors(body);
  if (state !== undefined && state !== 'open' && state !== 'closed') errors.push({ code: 'invalid', field: 'state' });
  if (state === 'open' && pull.state === 'closed') errors.push(...(await reopenErrors(repository, pull)));
  if (errors.length > 0) return invalid(...errors);

  if (typeof body.title === 'string') pull.title = body.title;
  if (typeof body.body === 'string') pull.body = body.body;
  if (state === 'closed') closePull(pull);
  if (state === 'open') {
    Object.assign(pull, { state, closedAt: null });
    await refreshPulls(repository);
  }
  pull.updatedAt = timestamp();
  return ok(pullView(repository, pull));
}

/** Parses `OWNER:BRANCH` or `BRANCH`. Another owner has no branches, because the stand-in has no forks. */
function branchOf(repository: Repository, head: string): string {
  const [owner, ...rest] = head.split(':');
  if (rest.length === 0) return head;
  return owner?.toLowerCase() === repository.owner.toLowerCase() ? rest.join(':') : '';
}

function textErrors({ title, body }: Record<string, unknown>): FieldError[] {
  const tooLong = (field: string, max: number): FieldError => ({
    code: 'custom',
    field,
    message: `${field} is too long (maximum is ${max} characters)`,
  });
  const errors: FieldError[] = [];
  if (title === '') errors.push({ code: 'missing_field', field: 'title' });
  if (String(title ?? '').length > MAX_TITLE_CHARS) errors.push(tooLong('title', MAX_TITLE_CHARS));
  if (String(body ?? '').length > MAX_BODY_CHARS) errors.push(tooLong('body', MAX_BODY_CHARS));
  return errors;
}

async function reopenErrors(repository: Repository, pull: Pull): Promise<FieldError[]> {
  const tip = await commitAt(repository.directory, `refs/heads/${pull.head}`);
  if (tip !== undefined) return duplicateErrors(repository, pull);
  const message = `state cannot be changed. The ${pull.head} branch has been deleted.`;
  return [{ code: 'invalid', field: 'state', message }];
}

function duplicateErrors(repository: Repository, { head, base }: { head: string; base: string }): FieldError[] {
  const same = (pull: Pull) => pull.state === 'open' && pull.head === head && pull.base === base;
  const message = `A pull request already exists for ${repository.owner}:${head}.`;
  return repository.pulls.some(same) ? [{ code: 'custom', message }] : [];
}

export function requestReviewers({ repository, accounts, body }: RestRequest, pull: Pull): RestAnswer {
  const reviewers = stringsIn(body.reviewers);
  const collaborates = (login: string) => {
    const account = accounts.get(login);
    return account !== undefined && canPush(repository, account);
  };
  if (!reviewers.every(collaborates) || reviewers.includes(pull.author))
    return invalid({ code: 'invalid', field: 'reviewers' });
  pull.reviewers = [...new Set([...pull.reviewers, ...reviewers])];
  return created(pullView(repository, pull));
}

export function listLabels(_request: RestRequest, pull: Pull): RestAnswer {
  return ok(pull.labels.map(labelView));
}

export function addLabels({ body }: RestRequest, pull: Pull): RestAnswer {
  pull.labels = [...new Set([...pull.labels, ...stringsIn(body.labels)])];
  return ok(pull.labels.map(labelView));
}

export function listComments(_request: RestRequest, pull: Pull): RestAnswer {
  return ok(pull.comments.map((comment) => commentView(pull, comment)));
}

export function addComment({ account, body }: RestRequest, pull: Pull): RestAnswer {
  if (typeof body.body !== 'string' || body.body.trim() === '')
    return invalid({ code: 'missing_field', field: 'body' });
  const errors = textErrors(body);
  if (errors.length > 0) return invalid(...errors);
  const id = pull.number * 10_000 + pull.comments.length + 1;
  const comment = { id, author: account.login, body: body.body, createdAt: timestamp() };
  pull.comments.push(comment);
  return created(commentView(pull, comment));
}

function stringsIn(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
