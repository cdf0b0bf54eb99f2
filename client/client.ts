import createFetchClient, { type ClientOptions, type Client as FetchClient, type Middleware } from 'openapi-fetch';
import type { components, paths } from './api.ts';
import { type Change, readChange } from './changes.ts';
import { checkType } from './problem.ts';
import { isTerminal, type RunEvent, readRunEvent } from './run-events.ts';
import { type ConnectionState, followStream } from './streams.ts';

/** What the server's answers and requests are made of, by their names in OpenAPI. */
export type Schemas = components['schemas'];
export type { Change } from './changes.ts';
// biome-ignore lint/performance/noBarrelFile: this is the one module that the package exports
export { PullwrightError, unwrap } from './problem.ts';
export type { RunEvent } from './run-events.ts';
export type { ConnectionState } from './streams.ts';

export type PullwrightOptions = {
  /** Where the server is, such as `https://pullwright.example.org`. */
  baseUrl: string;
  /** An API key; a page of the server itself has its cookie instead. */
  apiKey?: string;
  /** What to fetch with, instead of the runtime's own. */
  fetch?: typeof globalThis.fetch;
};

export type StreamOptions = {
  /** Ends the stream; the run goes on. */
  signal?: AbortSignal;
  /** Is told how the connection fares, for those who show it. */
  onConnection?: (state: ConnectionState) => void;
};

/**
 * `GET`, `POST`, `PUT` and `DELETE` are those of openapi-fetch: the path and what goes with it, typed by the server's own
 * OpenAPI; `unwrap` gives their data or throws.
 */
export type Client = Pick<FetchClient<paths, 'application/json'>, 'GET' | 'POST' | 'PUT' | 'DELETE'> & {
  runs: {
    /**
     * The events of a run from a position on, those to come as they come, up to the terminal one. A connection that
     * breaks or falls silent is made anew and goes on where it was: each event comes once, in order.
     * @param options `after` is the `seq` of the last event that is known already
     * @throws PullwrightError when the server refuses, such as an unknown run or a key that is no longer valid
     */
    stream(runId: string, options?: StreamOptions & { after?: number }): AsyncGenerator<RunEvent>;
  };
  changes: {
    /**
     * What happens to tickets and runs: first a snapshot, then changes, without an end. After a connection that was
     * lost it goes on, or begins with a new snapshot.
     * @throws PullwrightError when the server refuses
     */
    stream(options?: StreamOptions): AsyncGenerator<Change>;
  };
};

/** Before it is read: a page to sign on at, which something on the way answers with, is no data. */
const asJson: Middleware = {
  onResponse({ response, options }) {
    if (options.parseAs === 'json' && response.ok && response.status !== 204) checkType(response, /[/+]json\b/);
  },
};

/** A client of the server's API, for Node, browsers and whatever else has `fetch`. */
export function createClient({ baseUrl, apiKey, fetch = globalThis.fetch }: PullwrightOptions): Client {
  const headers: Record<string, string> = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  const options: ClientOptions = { baseUrl, headers, fetch: (request) => fetch(request) };
  const server = createFetchClient<paths, 'application/json'>(options);
  server.use(asJson);
  const place = { baseUrl, headers, fetch };

  return {
    GET: server.GET,
    POST: server.POST,
    PUT: server.PUT,
    DELETE: server.DELETE,
    runs: {
      stream: (runId, { after = 0, ...rest } = {}) =>
        followStream({
          ...place,
          ...rest,
          path: `/v1/runs/${encodeURIComponent(runId)}/events`,
          lastId: String(after),
          read: readRunEvent,
          isLast: isTerminal,
        }),
    },
    changes: {
      stream: (streamOptions = {}) =>
        followStream({ ...place, ...streamOptions, path: '/v1/events', read: readChange, isLast: () => false }),
    },
  };
}
