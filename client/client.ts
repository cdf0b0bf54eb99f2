import createFetchClient, { type ClientOptions, type Client as FetchClient, type Middleware } from 'openapi-fetch';
import type { components, paths } from './api.ts';
import { type Change, readChange } from './changes.ts';
import { checkProblem, checkType } from './problem.ts';
import { isTerminal, type RunEvent, readRunEvent } from './run-events.ts';
import { type ConnectionState, followStream } from './streams.ts';

/** The schemas of requests and answers, by their names in OpenAPI. */
export type Schemas = components['schemas'];
export type { Change } from './changes.ts';
// biome-ignore lint/performance/noBarrelFile: the package exports this module only
export { type Problem, PullwrightError, unwrap } from './problem.ts';
export type { RunEvent } from './run-events.ts';
export type { ConnectionState } from './streams.ts';

export type PullwrightOptions = {
  /** URL of the server, such as `https://pullwright.example.org`. */
  baseUrl: string;
  /** An API key. A page of the server itself uses its session cookie instead. */
  apiKey?: string;
  /** Replaces the `fetch` of the runtime. */
  fetch?: typeof globalThis.fetch;
};

export type StreamOptions = {
  /** Closes the stream; the run continues. */
  signal?: AbortSignal;
  /** Receives each change of the connection state. */
  onConnection?: (state: ConnectionState) => void;
};

/** Media types of `data` and of `error`. */
type Media = 'application/json' | 'application/problem+json';

/**
 * `GET`, `POST`, `PUT` and `DELETE` are those of openapi-fetch, typed by the OpenAPI document of the server. They resolve to
 * `{ data, error, response }`, with a problem (RFC 9457) as `error`; `unwrap` returns the data or throws.
 * @throws PullwrightError `not_pullwright` when the answer did not come from a Pullwright server
 */
export type Client = Pick<FetchClient<paths, Media>, 'GET' | 'POST' | 'PUT' | 'DELETE'> & {
  runs: {
    /**
     * Yields the events of a run up to the terminal event, each once and in order. Reconnects and resumes when the
     * connection breaks or is inactive for 45 seconds.
     * @param options `after` is the `seq` of the last event that the caller has
     * @throws PullwrightError when the server refuses, as for an unknown run or a revoked key
     */
    stream(runId: string, options?: StreamOptions & { after?: number }): AsyncGenerator<RunEvent>;
  };
  changes: {
    /**
     * Yields a snapshot of tickets and runs, then their changes, without end. Reconnects, and resumes or starts again with
     * a new snapshot.
     * @throws PullwrightError when the server refuses
     */
    stream(options?: StreamOptions): AsyncGenerator<Change>;
  };
};

/** Rejects answers that did not come from Pullwright, such as the sign-in page of a proxy, before they are parsed. */
const checkAnswer: Middleware = {
  async onResponse({ response, options, schemaPath }) {
    // The 503 of /readyz lists checks and is not a problem document.
    if (!response.ok && schemaPath !== '/readyz') await checkProblem(response);
    else if (options.parseAs === 'json' && response.status !== 204) checkType(response, /[/+]json\b/);
  },
};

/** Creates a client of the API for browsers, Node.js and other runtimes with `fetch`. */
export function createClient({ baseUrl, apiKey, fetch = globalThis.fetch }: PullwrightOptions): Client {
  const headers: Record<string, string> = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  const options: ClientOptions = { baseUrl, headers, fetch: (request) => fetch(request) };
  const server = createFetchClient<paths, Media>(options);
  server.use(checkAnswer);
  const endpoint = { baseUrl, headers, fetch };

  return {
    GET: server.GET,
    POST: server.POST,
    PUT: server.PUT,
    DELETE: server.DELETE,
    runs: {
      stream: (runId, { after = 0, ...rest } = {}) =>
        followStream({
          ...endpoint,
          ...rest,
          path: `/v1/runs/${encodeURIComponent(runId)}/events`,
          lastId: String(after),
          read: readRunEvent,
          isLast: isTerminal,
        }),
    },
    changes: {
      stream: (streamOptions = {}) =>
        followStream({ ...endpoint, ...streamOptions, path: '/v1/events', read: readChange, isLast: () => false }),
    },
  };
}
