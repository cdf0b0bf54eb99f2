import { type ClientRequest, type OutgoingHttpHeaders, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { request as secureRequest, Agent as TlsAgent } from 'node:https';

const PROXY_VARIABLES = ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'https_proxy', 'http_proxy', 'no_proxy'];
/** Shorter than the timeout of servers: a connection must not be reused while the server closes it. */
const IDLE_TIMEOUT_MS = 30_000;

export type Upstream = {
  /** Starts a POST; the caller writes the body. */
  post(url: URL, headers: OutgoingHttpHeaders): ClientRequest;
  /** Closes idle connections. */
  close(): void;
};

/**
 * Creates the pool of connections to models.
 * @param env of the server, for HTTPS_PROXY, HTTP_PROXY and NO_PROXY (Node.js 22.21 or newer)
 */
export function createUpstream(env: Readonly<Record<string, string | undefined>>): Upstream {
  const proxyEnv = Object.fromEntries(PROXY_VARIABLES.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
  const plain = new PlainAgent({ keepAlive: true, timeout: IDLE_TIMEOUT_MS, proxyEnv });
  const tls = new TlsAgent({ keepAlive: true, timeout: IDLE_TIMEOUT_MS, proxyEnv });
  return {
    post(url, headers) {
      const options = { method: 'POST', headers };
      if (url.protocol === 'https:') return secureRequest(url, { ...options, agent: tls });
      return plainRequest(url, { ...options, agent: plain });
    },
    close() {
      plain.destroy();
      tls.destroy();
    },
  };
}
