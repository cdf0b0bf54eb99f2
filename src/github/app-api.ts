import { readFileSync } from 'node:fs';
import { type RequestOptions, request as requestPlain } from 'node:http';
import { Agent, request as requestTls } from 'node:https';
import { text } from 'node:stream/consumers';
import { rootCertificates } from 'node:tls';
import { type GhApi, type GhRequest, type GhResponse, parseJson } from './gh-api.ts';
import type { Environment, GitHubConfig } from './types.ts';

const TIMEOUT_MS = 30_000;

/**
 * Sends REST requests as a GitHub App, which gh cannot: it sends every credential as `token`, and GitHub accepts a JWT as
 * `Bearer` only. Uses the same socket, proxy and certificates as gh. Retries nothing.
 * @param deps `jwt` returns the credential of one request
 */
export function createAppApi(deps: { config: GitHubConfig; parentEnv: Environment; jwt: () => string }): GhApi {
  const { config, parentEnv, jwt } = deps;
  const socketPath = config.GITHUB_HTTP_UNIX_SOCKET;

  function send(target: URL, options: RequestOptions, body: string | undefined): Promise<GhResponse> {
    const { promise, resolve, reject } = Promise.withResolvers<GhResponse>();
    const outgoing =
      socketPath === undefined
        ? requestTls(target, { ...options, agent: tlsAgent(parentEnv) })
        : requestPlain(target, { ...options, protocol: 'http:', socketPath });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const headers = Object.fromEntries(
        Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
      );
      const respond = (content: string) =>
        resolve({ kind: 'response', status: response.statusCode ?? 0, headers, body: parseJson(content) });
      text(response).then(respond, reject);
    });
    outgoing.end(body);
    return promise;
  }

  return async ({ host, method, route, body, signal }: GhRequest) => {
    signal.throwIfAborted();
    const headers = {
      authorization: `Bearer ${jwt()}`,
      accept: 'application/vnd.github+json',
      'content-type': 'application/json',
      'user-agent': 'pullwright',
      'x-github-api-version': '2022-11-28',
    };
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const options = { method, headers, signal: AbortSignal.any([signal, timeout]) };
    try {
      return await send(new URL(route, apiRoot(host)), options, body === undefined ? undefined : JSON.stringify(body));
    } catch (error) {
      signal.throwIfAborted();
      if (timeout.aborted) return { kind: 'unreachable', reason: `no response within ${TIMEOUT_MS / 1000} seconds` };
      return { kind: 'unreachable', reason: error instanceof Error ? error.message : String(error) };
    }
  };
}

/** Root of the REST API: github.com, GitHub Enterprise Cloud (ghe.com) or GitHub Enterprise Server. */
function apiRoot(host: string): string {
  if (host === 'github.com' || host.endsWith('.ghe.com')) return `https://api.${host}/`;
  return `https://${host}/api/v3/`;
}

/** Takes proxy and certificates from the same variables as git and gh. */
function tlsAgent({ HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy, SSL_CERT_FILE }: Environment): Agent {
  return new Agent({
    proxyEnv: { HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy },
    ...(SSL_CERT_FILE === undefined ? {} : { ca: [...rootCertificates, readFileSync(SSL_CERT_FILE)] }),
  });
}
