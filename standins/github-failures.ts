import type { ServerResponse } from 'node:http';
import type { GitHubRequest } from './github-model.ts';

/** How requests are to fail. Without a `status`, the connection breaks. */
export type Failure = {
  /** Tried on the method and the path with its query, such as `POST /repos/acme/widgets/pulls`. */
  match: RegExp;
  status?: number;
  body?: object | string;
  headers?: Record<string, string>;
  /** Breaks the connection. */
  reset?: true;
  /** Answers nothing until the stand-in is closed. */
  hang?: true;
  /** Does what was asked before failing, as when a reply is lost. */
  afterEffect?: true;
  /** How many requests fail; one when not given. */
  times?: number;
  /** How many are let through before; none when not given. */
  skip?: number;
};

/** The failures that are yet to come. */
export function createFailures() {
  const failures: { failure: Failure; skip: number; left: number; onMet: (request: GitHubRequest) => void }[] = [];
  return {
    add(failure: Failure, onMet: (request: GitHubRequest) => void = () => {}): void {
      failures.push({ failure, skip: failure.skip ?? 0, left: failure.times ?? 1, onMet });
    },
    /** Takes the oldest one that a request meets. */
    take(request: GitHubRequest): Failure | undefined {
      const line = `${request.method} ${request.path}`;
      const met = failures.find(({ failure, left }) => left > 0 && line.match(failure.match));
      if (!met) return undefined;
      if (met.skip > 0) {
        met.skip -= 1;
        return undefined;
      }
      met.left -= 1;
      met.onMet(request);
      return met.failure;
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
  const { body = { message: 'The stand-in was told to fail.' } } = failure;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/plain' : 'application/json; charset=utf-8';
  response.writeHead(failure.status, { 'content-type': type, ...failure.headers }).end(text);
}
