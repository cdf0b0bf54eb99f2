import { sign } from 'node:crypto';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { createAppApi } from './app-api.ts';
import type { GhRequest } from './gh-api.ts';
import { githubFailure } from './github-failure.ts';
import type { Environment } from './types.ts';
import { withRetries } from './with-retries.ts';

/** The least that pushing a branch and opening a pull request take. Not `workflows`: GitHub refuses such pushes then. */
const PERMISSIONS = { contents: 'write', pull_requests: 'write' };
/** A token is replaced this long before it expires, so that what has begun with it can end. */
const RENEW_BEFORE_MS = 5 * 60_000;

const Token = Type.Object({ token: Type.String({ minLength: 1 }), expires_at: Type.String() });
const Installations = Type.Array(Type.Object({ id: Type.Integer({ minimum: 1 }) }));

/**
 * Tokens of a GitHub App's installation, each used until shortly before it expires.
 * https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
 * @param deps the redactor is told of every token
 * @returns undefined when no app is set, else a function that gives a token which is valid for some minutes more; it
 * throws AppError `github_auth`, `github_forbidden`, `github_rate_limited` or `github_failed`
 */
export function createAppToken(deps: {
  config: Config;
  parentEnv: Environment;
  redactor: Pick<Redactor, 'addSecret'>;
  logger?: Pick<Logger, 'warn'>;
}): (() => Promise<string>) | undefined {
  const { config, redactor, logger } = deps;
  const { GITHUB_APP_ID: appId, GITHUB_APP_PRIVATE_KEY: key, GITHUB_HOST: host } = config;
  if (appId === undefined || key === undefined) return undefined;
  const api = withRetries(createAppApi({ ...deps, jwt: () => appJwt(appId, key) }), logger);
  let current: { token: string; renewAt: number } | undefined;
  let renewing: Promise<string> | undefined;
  let installation = config.GITHUB_APP_INSTALLATION_ID;

  async function ask<Schema extends TSchema>(
    schema: Schema,
    asked: Pick<GhRequest, 'method' | 'route' | 'body'>,
  ): Promise<Static<Schema>> {
    const request = { ...asked, host, signal: new AbortController().signal };
    const answer = await api(request);
    if (answer.kind === 'answer' && answer.status < 300 && Value.Check(schema, answer.body)) return answer.body;
    const failure = githubFailure(request, answer);
    const status = answer.kind === 'answer' ? answer.status : 0;
    if (status === 401 || status === 404) {
      throw new AppError('github_auth', failure.message, {
        remedy: 'Check GITHUB_APP_ID, its private key, GITHUB_APP_INSTALLATION_ID and the clock of the server.',
      });
    }
    if (status !== 422) throw failure;
    throw new AppError('github_forbidden', failure.message, {
      remedy: 'Grant the GitHub App contents and pull requests, read and write, and accept that in its installation.',
    });
  }

  async function onlyInstallation(): Promise<string> {
    const found = await ask(Installations, { method: 'GET', route: 'app/installations' });
    const [first] = found;
    if (first !== undefined && found.length === 1) return String(first.id);
    throw new AppError('github_auth', `The GitHub App ${appId} has ${found.length} installations.`, {
      remedy: found.length === 0 ? 'Install the app for the repositories.' : 'Set GITHUB_APP_INSTALLATION_ID to one.',
    });
  }

  async function renew(): Promise<string> {
    installation ??= await onlyInstallation();
    const route = `app/installations/${installation}/access_tokens`;
    const issued = await ask(Token, { method: 'POST', route, body: { permissions: PERMISSIONS } });
    const { token } = issued;
    const expiresAt = Date.parse(issued.expires_at) || 0;
    redactor.addSecret(token, expiresAt);
    current = { token, renewAt: expiresAt - RENEW_BEFORE_MS };
    return token;
  }

  return async () => {
    if (current !== undefined && Date.now() < current.renewAt) return current.token;
    renewing ??= renew().finally(() => {
      renewing = undefined;
    });
    return renewing;
  };
}

/** RS256 (https://www.rfc-editor.org/rfc/rfc7519): issued a minute ago, for clocks that differ; GitHub allows 10 minutes. */
function appJwt(appId: string, privateKey: string): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iat: now - 60, exp: now + 9 * 60, iss: appId };
  const signed = [{ alg: 'RS256', typ: 'JWT' }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
}
