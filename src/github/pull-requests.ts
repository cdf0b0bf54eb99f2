import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { PullRequest } from '../../schemas/ticket.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { RepoRef } from '../git/repo-url.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { createGhApi, type GhAnswer, type GhRequest } from './gh-api.ts';
import { githubFailure, isRefusedFor } from './github-failure.ts';
import type { Environment, TokenSource } from './types.ts';
import { pause, withRetries } from './with-retries.ts';

export type PullRequestRequest = {
  repo: RepoRef;
  /** Recognises the ticket's own pull request among others. */
  ticketId: string;
  /** Branch of the ticket, already pushed to the repository. */
  head: string;
  base: string;
  title: string;
  /** Markdown; at most 60,000 characters. */
  body: string;
  signal: AbortSignal;
};

export type GitHub = {
  /**
   * Makes sure that the ticket has exactly one open pull request with this title and text, however often it is called
   * and whatever was lost on the way: looks, creates, and looks again when it is not certain what happened.
   * In an existing one, what people wrote around the server's part of the text stays. One that a person opened for the
   * branch is given back as it is.
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

const ROUNDS = 3;

/** Longest text that GitHub takes. */
const MAX_BODY = 65_536;

/** GitHub as the server uses it, through `gh api`. */
export function createGitHub(deps: {
  config: Config;
  parentEnv: Environment;
  token: TokenSource;
  redactor: Pick<Redactor, 'text'>;
  logger?: Pick<Logger, 'warn'>;
}): GitHub {
  const { redactor } = deps;
  const api = withRetries(createGhApi(deps), deps.logger);

  async function ask<Schema extends TSchema>(schema: Schema, request: GhRequest): Promise<Static<Schema>> {
    return understood(schema, request, await api(request));
  }

  return {
    async ensurePullRequest({ repo, ticketId, head, base, signal, ...words }) {
      const { host } = repo;
      const title = redactor.text(words.title);
      const body = redactor.text(words.body);
      // A renamed or transferred repository still answers to its old name, but its pull requests are under the new one.
      const { full_name: fullName } = await ask(Repository, {
        host,
        method: 'GET',
        route: `repos/${encodeURIComponent(repo.owner)}/${encodeURIComponent(repo.name)}`,
        signal,
      });
      const pulls = `repos/${fullName}/pulls`;
      const query = new URLSearchParams({ state: 'open', head: `${fullName.split('/')[0]}:${head}`, per_page: '100' });
      const look: GhRequest = { host, method: 'GET', route: `${pulls}?${query}`, signal };
      const part = markedPart(ticketId, body);
      const create: GhRequest = { host, method: 'POST', route: pulls, body: { title, head, base, body: part }, signal };
      const found = (pull: Pull, created: boolean) => ({
        number: pull.number,
        url: `https://${host}/${fullName}/pull/${pull.number}`,
        created,
      });

      let last: GhAnswer | undefined;
      let answerLost = false;
      for (let round = 0; ; round++) {
        const open = (await ask(Type.Array(Pull), look)).filter((pull) => pull.head.ref === head);
        const ours = open.find((pull) => findPart(pull.body, ticketId) !== undefined);
        if (ours !== undefined) {
          const wanted = { title, body: withPart(ours.body ?? '', ticketId, part) };
          if (wanted.title !== ours.title || wanted.body !== ours.body) {
            await ask(Pull, { host, method: 'PATCH', route: `${pulls}/${ours.number}`, body: wanted, signal });
          }
          return found(ours, answerLost);
        }
        const theirs = open.find((pull) => pull.base.ref === base);
        if (theirs !== undefined) return found(theirs, false);

        if (last !== undefined && round === ROUNDS) throw githubFailure(create, last);
        last = await api(create);
        if (!isUncertain(last)) return found(understood(Pull, create, last), true);
        answerLost ||= last.kind === 'unreachable' || last.status >= 500;
        await pause((round + 1) / 2, signal);
      }
    },
  };
}

/** Answers after which only a look tells whether there is a pull request, or that a moment may mend. */
function isUncertain(answer: GhAnswer): boolean {
  return (
    answer.kind === 'unreachable' ||
    answer.status >= 500 ||
    isRefusedFor(answer, /already exists/i) ||
    // A branch can take a moment from the push until the API knows it.
    isRefusedFor(answer, { invalidField: 'head' })
  );
}

function understood<Schema extends TSchema>(schema: Schema, request: GhRequest, answer: GhAnswer): Static<Schema> {
  if (answer.kind === 'unreachable' || answer.status >= 300) throw githubFailure(request, answer);
  if (Value.Check(schema, answer.body)) return answer.body;
  throw new AppError('github_failed', `${request.host} answered ${request.method} in a form that is not understood.`);
}

const END = '<!-- /pullwright -->';
const startOf = (ticketId: string) => `<!-- pullwright:ticket=${ticketId} -->`;

/** The server's part of the text, between two comments that GitHub does not show. */
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
  const place = findPart(text, ticketId);
  if (place === undefined) return text;
  const changed = text.slice(0, place.from) + part + text.slice(place.to);
  return changed.length <= MAX_BODY ? changed : text;
}
