import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { PullRequest } from '../../schemas/ticket.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { RepoRef } from '../git/repo-url.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { createGhApi, type GhRequest, type GhResponse } from './gh-api.ts';
import { githubFailure, isRefusedFor } from './github-failure.ts';
import type { Environment, GitHubConfig, TokenSource } from './types.ts';
import { pause, withRetries } from './with-retries.ts';

export type PullRequestRequest = {
  repo: RepoRef;
  /** Identifies the ticket's own pull request among others. */
  ticketId: string;
  /** Branch of the ticket, which is pushed already. */
  head: string;
  base: string;
  title: string;
  /** Markdown; at most 60,000 characters. */
  body: string;
  signal: AbortSignal;
};

export type GitHub = {
  /**
   * Ensures that the ticket has exactly one open pull request with this title and text. Idempotent, even after a lost
   * response: lists the pull requests, creates one, and lists them again if the result is uncertain. In an existing pull
   * request, text of people around the server's part stays. A pull request that a person opened for the branch stays
   * unchanged.
   * @throws AppError `no_changes`, `github_auth`, `github_forbidden`, `repo_not_found`, `base_branch_not_found`,
   * `github_rate_limited` (with `retryAfter`), `github_failed`; the signal's reason when aborted
   */
  ensurePullRequest(request: PullRequestRequest): Promise<PullRequest & { created: boolean }>;
};

const Repository = Type.Object({ full_name: Type.String({ pattern: '^[\\w-][\\w.-]*/(?!\\.{1,2}$)[\\w.-]+$' }) });
const Pull = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  title: Type.String(),
  body: Type.Union([Type.String(), Type.Null()]),
  head: Type.Object({ ref: Type.String() }),
  base: Type.Object({ ref: Type.String() }),
});
type Pull = Static<typeof Pull>;

const MAX_CREATE_ATTEMPTS = 3;

/** Longest text that GitHub accepts, in characters. */
const MAX_BODY = 65_536;

/** Creates a client of GitHub, through `gh api`. */
export function createGitHub(deps: {
  config: GitHubConfig & Pick<Config, 'DATA_DIR'>;
  parentEnv: Environment;
  token: TokenSource;
  redactor: Pick<Redactor, 'text'>;
  logger?: Pick<Logger, 'warn'>;
}): GitHub {
  const { redactor } = deps;
  const api = withRetries(createGhApi(deps), deps.logger);

  async function send<Schema extends TSchema>(schema: Schema, request: GhRequest): Promise<Static<Schema>> {
    return parseResponse(schema, request, await api(request));
  }

  return {
    async ensurePullRequest({ repo, ticketId, head, base, signal, ...text }) {
      const { host } = repo;
      const title = redactor.text(text.title);
      const body = redactor.text(text.body);
      // A renamed or transferred repository redirects from its old name, but its pull requests need the new one.
      const { full_name: fullName } = await send(Repository, {
        host,
        method: 'GET',
        route: `repos/${encodeURIComponent(repo.owner)}/${encodeURIComponent(repo.name)}`,
        signal,
      });
      const pulls = `repos/${fullName}/pulls`;
      const query = new URLSearchParams({ state: 'open', head: `${fullName.split('/')[0]}:${head}`, per_page: '100' });
      const list: GhRequest = { host, method: 'GET', route: `${pulls}?${query}`, signal };
      const part = markedPart(ticketId, body);
      const create: GhRequest = { host, method: 'POST', route: pulls, body: { title, head, base, body: part }, signal };
      const found = (pull: Pull, created: boolean) => ({
        number: pull.number,
        url: `https://${host}/${fullName}/pull/${pull.number}`,
        created,
      });

      let last: GhResponse | undefined;
      let responseLost = false;
      for (let round = 0; ; round++) {
        const open = (await send(Type.Array(Pull), list)).filter((pull) => pull.head.ref === head);
        const ours = open.find((pull) => findPart(pull.body, ticketId) !== undefined);
        if (ours !== undefined) {
          const wanted = { title, body: withPart(ours.body ?? '', ticketId, part) };
          if (wanted.title !== ours.title || wanted.body !== ours.body) {
            await send(Pull, { host, method: 'PATCH', route: `${pulls}/${ours.number}`, body: wanted, signal });
          }
          return found(ours, responseLost);
        }
        const theirs = open.find((pull) => pull.base.ref === base);
        if (theirs !== undefined) return found(theirs, false);

        if (last !== undefined && round === MAX_CREATE_ATTEMPTS) throw githubFailure(create, last);
        last = await api(create);
        if (!isUncertain(last)) return found(parseResponse(Pull, create, last), true);
        responseLost ||= last.kind === 'unreachable' || last.status >= 500;
        await pause((round + 1) / 2, signal);
      }
    },
  };
}

/** Returns whether the pull request may exist after this response, or a retry may succeed. */
function isUncertain(response: GhResponse): boolean {
  return (
    response.kind === 'unreachable' ||
    response.status >= 500 ||
    isRefusedFor(response, /already exists/i) ||
    // The API may not see a pushed branch for a moment.
    isRefusedFor(response, { invalidField: 'head' })
  );
}

function parseResponse<Schema extends TSchema>(
  schema: Schema,
  request: GhRequest,
  response: GhResponse,
): Static<Schema> {
  if (response.kind === 'unreachable' || response.status >= 300) throw githubFailure(request, response);
  if (Value.Check(schema, response.body)) return response.body;
  throw new AppError(
    'github_failed',
    `${request.host} answered ${request.method} ${request.route.replace(/\?.*/, '')} in an unknown format.`,
  );
}

const END = '<!-- /pullwright -->';
const startOf = (ticketId: string) => `<!-- pullwright:ticket=${ticketId} -->`;

/** Wraps the server's part of the text in two comments, which GitHub does not show. */
function markedPart(ticketId: string, body: string): string {
  return `${startOf(ticketId)}\n${body}\n${END}`;
}

function findPart(text: string | null, ticketId: string): { from: number; to: number } | undefined {
  const from = text?.indexOf(startOf(ticketId)) ?? -1;
  if (text === null || from < 0) return undefined;
  const end = text.indexOf(END, from);
  return { from, to: end < 0 ? text.length : end + END.length };
}

function withPart(text: string, ticketId: string, part: string): string {
  const found = findPart(text, ticketId);
  if (found === undefined) return text;
  const changed = text.slice(0, found.from) + part + text.slice(found.to);
  return changed.length <= MAX_BODY ? changed : text;
}
