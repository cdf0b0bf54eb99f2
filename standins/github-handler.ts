import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { answerGit, type GitTarget, gitTarget, type Reply } from './git-http.ts';
import type { Accounts } from './github-accounts.ts';
import { answerApp, isAppRequest } from './github-apps.ts';
import { type Failures, fail } from './github-failures.ts';
import { type GitHubRequest, type Repository, refreshPulls } from './github-model.ts';
import type { Repositories } from './github-repositories.ts';
import { answerRest } from './github-rest.ts';

export type HandlerContext = {
  accounts: Accounts;
  repositories: Repositories;
  failures: Failures;
  /** Receives every request. */
  requests: GitHubRequest[];
  /** Kills running git processes when aborted. */
  signal: AbortSignal;
};

/** Creates the listener that answers REST and git requests, or fails them on demand. */
export function createHandler(context: HandlerContext): RequestListener {
  return (incoming, response) => {
    handle(context, incoming, response).catch(() => response.destroy());
  };
}

async function handle(context: HandlerContext, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL((incoming.url ?? '/').replace(/^\/api\/v3(?=\/)/, ''), 'http://stand-in');
  const git = gitTarget(url);
  const request = recordRequest(incoming, url, git ? 'git' : 'rest', response);
  context.requests.push(request);
  if (!git) request.body = await text(incoming);

  const failure = context.failures.take(request);
  if (failure && !failure.afterEffect) {
    incoming.resume();
    return fail(response, failure);
  }
  const repository = git && context.repositories.find(git.owner, git.name);
  const reply = await answer(context, request, incoming, git, repository);
  if (failure) {
    await reply.body.toArray();
  } else {
    response.writeHead(reply.status, reply.headers);
    await pipeline(reply.body, response, { end: false });
  }
  if (repository && git.pushes) await refreshPulls(repository);
  if (failure) fail(response, failure);
  else response.end();
}

async function answer(
  { accounts, repositories, signal }: HandlerContext,
  request: GitHubRequest,
  incoming: IncomingMessage,
  git: GitTarget | undefined,
  repository: Repository | undefined,
): Promise<Reply> {
  const account = accounts.find(request.token);
  if (git) return answerGit(git, repository, account, incoming, signal);
  if (!isAppRequest(request))
    return answerRest({ find: repositories.find, accounts: accounts.byLogin }, request, account);
  return answerApp(accounts.apps, request, incoming.headers.authorization, accounts.addInstallationToken);
}

function recordRequest(
  { method = '', headers }: IncomingMessage,
  { pathname, search }: URL,
  kind: 'rest' | 'git',
  response: ServerResponse,
): GitHubRequest {
  const [path, token] = [pathname + search, tokenIn(headers.authorization)];
  const request: GitHubRequest = { time: Date.now(), kind, method, path, token, body: '', status: undefined };
  response.once('close', () => {
    if (response.headersSent) request.status = response.statusCode;
  });
  return request;
}

/** Reads the token from `token T`, `Bearer T`, or Basic with the token as password. */
function tokenIn(authorization: string | undefined): string | undefined {
  const [, scheme = '', value = ''] = /^(\w+) +(\S+)$/.exec(authorization ?? '') ?? [];
  if (scheme.toLowerCase() !== 'basic') return value || undefined;
  const pair = Buffer.from(value, 'base64').toString();
  return pair.slice(pair.indexOf(':') + 1);
}
