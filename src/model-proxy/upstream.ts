import { type ClientRequest, type OutgoingHttpHeaders, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { request as secureRequest, Agent as TlsAgent } from 'node:https';

const PROXY_VARIABLES = ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'https_proxy', 'http_proxy', 'no_proxy'];
/** How long an idle connection is kept; less than servers do, lest one is used in the moment it is closed. */
const IDLE_MS = 30_000;

export type Upstream = {
  /** Begins a POST; the caller writes the body. */
  post(url: URL, headers: OutgoingHttpHeaders): ClientRequest;
  /** Ends idle connections. */
  close(): void;
};

/**
 * The connections from the server to models.
 * @param env environment of the server: its HTTPS_PROXY, HTTP_PROXY and NO_PROXY count (Node.js 22.21 or newer)
 */
export function createUpstream(env: Readonly<Record<string, string | undefined>>): Upstream {
  const proxyEnv = Object.fromEntries(PROXY_VARIABLES.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
  const plain = new PlainAgent({ keepAlive: true, timeout: IDLE_MS, proxyEnv });
  const tls = new TlsAgent({ keepAlive: true, timeout: IDLE_MS, proxyEnv });
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
