import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Accounts, createAccounts } from './github-accounts.ts';
import { createFailures, type Failure } from './github-failures.ts';
import { createHandler } from './github-handler.ts';
import type { GitHubRequest, Pull } from './github-model.ts';
import { createRepositories, type Repositories } from './github-repositories.ts';
import { closeServer, listenOnPort, listenOnSocket } from './loopback.ts';

export type GitHub = {
  url: string;
  /** Unix socket of the same server, for the `http_unix_socket` setting of gh. */
  socket: string;
  /** All requests so far, oldest first. */
  requests: GitHubRequest[];
  /** Adds a user with a token. Default scopes: `['repo']`. */
  addToken: Accounts['addToken'];
  /**
   * Registers a GitHub App with one installation, 1001, whose tokens expire after an hour. It has permissions for contents
   * and pull requests. Returns the live registration.
   */
  addApp: Accounts['addApp'];
  addRepository: Repositories['add'];
  /** Returns the live pull requests, oldest first. */
  pulls(fullName: string): Pull[];
  /** Commits files, as a push to a branch would, and returns the hash. Default: the default branch. */
  commit: Repositories['commit'];
  /** Lets matching requests fail. The oldest matching failure applies. */
  failNext(failure: Failure): void;
  /** Leaves a matching request without an answer. Resolves with the request when it arrives. */
  hang(failure: Pick<Failure, 'match' | 'afterEffect' | 'skip'>): Promise<GitHubRequest>;
  /** Returns environment variables that make git and gh use the stand-in as github.com. */
  environment(): Record<string, string>;
  close(): Promise<void>;
};

/**
 * Starts a GitHub: the REST API and git over HTTP, on a free loopback port and on a Unix socket.
 * @param options `root`: folder of the bare repositories, OWNER/NAME.git; created when missing
 */
export async function startGitHub(options: { root: string }): Promise<GitHub> {
  const root = resolve(options.root);
  await mkdir(root, { recursive: true });
  const accounts = createAccounts();
  const repositories = createRepositories(root);
  const failures = createFailures();
  const requests: GitHubRequest[] = [];
  const closing = new AbortController();
  const handler = createHandler({ accounts, repositories, failures, requests, signal: closing.signal });

  // Not below `root`: a socket path is at most 107 bytes long.
  const socketFolder = await mkdtemp(join(tmpdir(), 'gh-'));
  const socket = join(socketFolder, 's');
  const onPort = createServer(handler);
  const onSocket = createServer(handler);
  const url = await listenOnPort(onPort);
  await listenOnSocket(onSocket, socket);

  return {
    url,
    socket,
    requests,
    addToken: accounts.addToken,
    addApp: accounts.addApp,
    addRepository: repositories.add,
    pulls: (fullName) => repositories.get(fullName).pulls,
    commit: repositories.commit,
    failNext: (failure) => failures.add(failure),
    hang: (failure) => new Promise((resolve) => failures.add({ ...failure, hang: true }, resolve)),
    environment: () => ({
      GITHUB_HTTP_UNIX_SOCKET: socket,
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: `url.${url}/.insteadOf`,
      GIT_CONFIG_VALUE_0: 'https://github.com/',
      GIT_ALLOW_PROTOCOL: 'http:https',
    }),
    async close() {
      closing.abort();
      await Promise.all([closeServer(onPort), closeServer(onSocket)]);
      await rm(socketFolder, { recursive: true, force: true });
    },
  };
}
