import type { ServerResponse } from 'node:http';
import type { GitHubRequest } from './github-model.ts';

/** A failure of matching requests. Without a `status`, the connection breaks. */
export type Failure = {
  /** Matches method, path and query, such as `POST /repos/acme/widgets/pulls`. */
  match: RegExp;
  status?: number;
  body?: object | string;
  headers?: Record<string, string>;
  /** Breaks the connection. */
  reset?: true;
  /** Sends no answer until the stand-in closes. */
  hang?: true;
  /** Executes the request before failing, like a lost response. */
  afterEffect?: true;
  /** Number of requests that fail; default: 1. */
  times?: number;
  /** Number of requests that pass before; default: 0. */
  skip?: number;
};

/** The failures that are still to happen. */
export type Failures = ReturnType<typeof createFailures>;

export function createFailures() {
  const failures: { failure: Failure; skip: number; remaining: number; onTaken: (request: GitHubRequest) => void }[] =
    [];
  return {
    add(failure: Failure, onTaken: (request: GitHubRequest) => void = () => {}): void {
      failures.push({ failure, skip: failure.skip ?? 0, remaining: failure.times ?? 1, onTaken });
    },
    /** Takes the oldest failure that matches a request. */
    take(request: GitHubRequest): Failure | undefined {
      const line = `${request.method} ${request.path}`;
      const found = failures.find(({ failure, remaining }) => remaining > 0 && line.match(failure.match));
      if (!found) return undefined;
      if (found.skip > 0) {
        found.skip -= 1;
        return undefined;
      }
      found.remaining -= 1;
      found.onTaken(request);
      return found.failure;
    },
  };
}

/** Fails a request. */
export function fail(response: ServerResponse, failure: Failure): void {
  if (failure.hang) return;
  if (failure.reset || failure.status === undefined) {
    response.destroy();
    return;
  }
  const { body = { message: 'Failure requested by the test.' } } = failure;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/plain' : 'application/json; charset=utf-8';
  response.writeHead(failure.status, { 'content-type': type, ...failure.headers }).end(text);
}
