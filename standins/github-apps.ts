import { type KeyObject, randomBytes, verify } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Reply } from './git-http.ts';
import { created, invalid, NOT_FOUND, ok, type RestAnswer } from './github-answers.ts';
import type { Account, GitHubRequest } from './github-model.ts';

/** The registration of a GitHub App. Changes take effect with the next request. */
export type App = {
  id: string;
  publicKey: KeyObject;
  installations: number[];
  /** Permissions of the installations. */
  permissions: Record<string, string>;
  /** Lifetime of its tokens. */
  lifetimeSeconds: number;
};

const MAX_JWT_SECONDS = 600;
const BAD_JWT: RestAnswer = { status: 401, body: { message: 'A JSON web token could not be decoded', status: '401' } };

/** Returns whether a request is authenticated as an app. */
export function isAppRequest({ path }: GitHubRequest): boolean {
  return /^\/app(\/|$)/.test(path);
}

/**
 * Answers a request of an app: https://docs.github.com/en/rest/apps/apps
 * @param authorization header; GitHub accepts a JWT as `Bearer` but not as `token`
 * @param addToken registers the token of an installation
 */
export function answerApp(
  apps: readonly App[],
  request: GitHubRequest,
  authorization: string | undefined,
  addToken: (token: string, account: Account) => void,
): Reply {
  const jwt = /^Bearer (\S+)$/.exec(authorization ?? '')?.[1];
  const app = jwt === undefined ? undefined : apps.find((candidate) => isValid(jwt, candidate));
  const { status, body } = app ? route(app, request, addToken) : BAD_JWT;
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: Readable.from([JSON.stringify(body)]),
  };
}

function route(
  app: App,
  { method, path, body }: GitHubRequest,
  addToken: (token: string, account: Account) => void,
): RestAnswer {
  if (method === 'GET' && path === '/app/installations') {
    return ok(app.installations.map((id) => ({ id, app_id: Number(app.id), permissions: app.permissions })));
  }
  const installation = /^\/app\/installations\/(\d+)\/access_tokens$/.exec(path)?.[1];
  if (method !== 'POST' || !app.installations.includes(Number(installation))) return NOT_FOUND;
  const requested: Record<string, string> = JSON.parse(body || '{}').permissions ?? app.permissions;
  if (Object.entries(requested).some(([name, right]) => app.permissions[name] !== right)) {
    return invalid({
      code: 'custom',
      message: 'The permissions requested are not granted to this installation.',
    });
  }
  const token = `ghs_${randomBytes(27).toString('base64url').replace(/[-_]/g, 'x')}`;
  const expiresAt = Date.now() + app.lifetimeSeconds * 1000;
  const push = requested.contents === 'write' && requested.pull_requests === 'write';
  addToken(token, { login: 'pullwright[bot]', push, scopes: ['repo'], expiresAt });
  return created({ token, expires_at: new Date(expiresAt).toISOString(), permissions: requested });
}

function isValid(jwt: string, { id, publicKey }: App): boolean {
  const [header = '', payload = '', signature = ''] = jwt.split('.');
  const { alg } = decodePart(header);
  const { iat, exp, iss } = decodePart(payload);
  const now = Date.now() / 1000;
  return (
    alg === 'RS256' &&
    String(iss) === id &&
    typeof iat === 'number' &&
    typeof exp === 'number' &&
    iat <= now &&
    exp > now &&
    exp - now <= MAX_JWT_SECONDS &&
    verify('sha256', Buffer.from(`${header}.${payload}`), publicKey, Buffer.from(signature, 'base64url'))
  );
}

function decodePart(encoded: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(encoded, 'base64url').toString());
  } catch {
    return {};
  }
}
