import { readFileSync } from 'node:fs';
import { type RequestOptions, request as requestPlain } from 'node:http';
import { Agent, request as requestTls } from 'node:https';
import { text } from 'node:stream/consumers';
import { rootCertificates } from 'node:tls';
import type { Config } from '../config/load-config.ts';
import type { GhAnswer, GhApi, GhRequest } from './gh-api.ts';
import type { Environment } from './types.ts';

const TIMEOUT_SECONDS = 30;

/**
 * REST requests as a GitHub App itself, which gh cannot make: it sends what it is given as `token`, and GitHub takes a
 * JWT as `Bearer` only. The same socket, proxy and certificates as for gh; nothing is tried twice.
 * @param deps `jwt` gives the credential of one request
 */
export function createAppApi(deps: {
  config: Pick<Config, 'GITHUB_HTTP_UNIX_SOCKET'>;
  parentEnv: Environment;
  jwt: () => string;
}): GhApi {
  const { config, parentEnv, jwt } = deps;
  const socketPath = config.GITHUB_HTTP_UNIX_SOCKET;

  function send(target: URL, options: RequestOptions, body: string | undefined): Promise<GhAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<GhAnswer>();
    const outgoing =
      socketPath === undefined
        ? requestTls(target, { ...options, agent: tlsAgent(parentEnv) })
        : requestPlain(target, { ...options, protocol: 'http:', socketPath });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(response.headers)) headers[name] = String(value);
      const answer = (words: string) =>
        resolve({ kind: 'answer', status: response.statusCode ?? 0, headers, body: parseJson(words) });
      text(response).then(answer, reject);
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
    const late = AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
    const options = { method, headers, signal: AbortSignal.any([signal, late]) };
    try {
      return await send(new URL(route, apiRoot(host)), options, body === undefined ? undefined : JSON.stringify(body));
    } catch (error) {
      signal.throwIfAborted();
      if (late.aborted) return { kind: 'unreachable', reason: `no answer within ${TIMEOUT_SECONDS} seconds` };
      return { kind: 'unreachable', reason: error instanceof Error ? error.message : String(error) };
    }
  };
}

/** https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api, and for servers of one's own. */
function apiRoot(host: string): string {
  if (host === 'github.com' || host.endsWith('.ghe.com')) return `https://api.${host}/`;
  return `https://${host}/api/v3/`;
}

/** Proxy and certificates as git and gh take them from the environment. */
function tlsAgent({ HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy, SSL_CERT_FILE }: Environment): Agent {
  return new Agent({
    proxyEnv: { HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy },
    ...(SSL_CERT_FILE === undefined ? {} : { ca: [...rootCertificates, readFileSync(SSL_CERT_FILE)] }),
  });
}

function parseJson(words: string): unknown {
  try {
    return JSON.parse(words);
  } catch {
    return undefined;
  }
}
