import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { commitFiles, createBareRepository, type Source } from './bare-repository.ts';
import { answerGit, gitTarget } from './git-http.ts';
import { type App, answerApp, isAppRequest } from './github-apps.ts';
import { createFailures, type Failure, fail } from './github-failures.ts';
import { type Account, ANYBODY, type GitHubRequest, type Pull, type Repository, refreshPulls } from './github-model.ts';
import { answerRest } from './github-rest.ts';
import { closeServer, listenOnPort, listenOnSocket } from './loopback.ts';

export type RepositoryOptions = Source & {
  defaultBranch?: string;
  private?: boolean;
  /** Branches that nobody may push to. */
  protectedBranches?: readonly string[];
};

export type GitHub = {
  url: string;
  /** Unix socket of the same, for the `http_unix_socket` setting of gh. */
  socket: string;
  /** Every request so far, oldest first. */
  requests: GitHubRequest[];
  /** Lets somebody in. `scopes` are `['repo']` when not given. */
  addToken(token: string, account: { login: string; push: boolean; scopes?: readonly string[] }): void;
  /**
   * Registers a GitHub App with one installation, 1001, that was granted contents and pull requests; gives the live
   * registration. Its tokens live for an hour.
   */
  addApp(app: Pick<App, 'id' | 'publicKey'>): App;
  addRepository(fullName: string, options?: RepositoryOptions): Promise<Repository>;
  /** The live pull requests, oldest first. */
  pulls(fullName: string): Pull[];
  /** Commits files as if somebody had pushed them, to the default branch when none is given; gives the hash. */
  commit(
    fullName: string,
    change: { branch?: string; files: Record<string, string>; message?: string },
  ): Promise<string>;
  /** Makes coming requests fail. Of several failures that match, the oldest is met first. */
  failNext(failure: Failure): void;
  /** Leaves a coming request without an answer; resolves with the request once it is there. */
  hang(failure: Pick<Failure, 'match' | 'afterEffect' | 'skip'>): Promise<GitHubRequest>;
  /** Environment of a process whose git and gh shall take this for github.com. */
  environment(): Record<string, string>;
  close(): Promise<void>;
};

/**
 * Starts a GitHub: the REST API and git over HTTP, on a free loopback port and on a Unix socket.
 * @param options `root`: folder of the bare repositories, OWNER/NAME.git; made when missing
 */
export async function startGitHub(options: { root: string }): Promise<GitHub> {
  const root = resolve(options.root);
  await mkdir(root, { recursive: true });
  // Not below `root`: the path of a socket may have 107 bytes.
  const socketFolder = await mkdtemp(join(tmpdir(), 'gh-'));
  const socket = join(socketFolder, 's');

  const tokens = new Map<string, Account>();
  const accounts = new Map<string, Account>();
  const apps: App[] = [];
  const repositories = new Map<string, Repository>();
  const requests: GitHubRequest[] = [];
  const failures = createFailures();
  const closing = new AbortController();

  const listener = (incoming: IncomingMessage, response: ServerResponse) => {
    answer(incoming, response).catch(() => response.destroy());
  };
  const onPort = createServer(listener);
  const onSocket = createServer(listener);
  const url = await listenOnPort(onPort);
  await listenOnSocket(onSocket, socket);

  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = new URL((incoming.url ?? '/').replace(/^\/api\/v3(?=\/)/, ''), 'http://stand-in');
    const git = gitTarget(target);
    const request = record(incoming, target, git ? 'git' : 'rest', response);
    if (!git) request.body = await text(incoming);

    const failure = failures.take(request);
    if (failure && !failure.afterEffect) {
      incoming.resume();
      return fail(response, failure);
    }
    const account = accountOf(request.token);
    const repository = git && find(git.owner, git.name);
    const reply = git
      ? await answerGit(git, repository, account, incoming, closing.signal)
      : isAppRequest(request)
        ? answerApp(apps, request, incoming.headers.authorization, (token, fresh) => tokens.set(token, fresh))
        : await answerRest({ find, accounts }, request, account);
    if (failure) {
      await reply.body.toArray();
    } else {
      response.writeHead(reply.status, reply.headers);
      await pipeline(reply.body, response, { end: false });
    }
    if (repository && git.pushes) await refreshPulls(repository);
    if (failure) fail(response, failure);
    else response.end();
  }

  function record(
    incoming: IncomingMessage,
    target: URL,
    kind: 'rest' | 'git',
    response: ServerResponse,
  ): GitHubRequest {
    const request: GitHubRequest = {
      time: Date.now(),
      kind,
      method: incoming.method ?? '',
      path: target.pathname + target.search,
      token: tokenIn(incoming.headers.authorization),
      body: '',
      status: undefined,
    };
    requests.push(request);
    response.once('close', () => {
      if (response.headersSent) request.status = response.statusCode;
    });
    return request;
  }

  function accountOf(token: string | undefined): Account | undefined {
    if (token === undefined) return ANYBODY;
    const account = tokens.get(token);
    return account && (account.expiresAt ?? Number.POSITIVE_INFINITY) > Date.now() ? account : undefined;
  }

  function find(owner: string, name: string): Repository | undefined {
    return repositories.get(`${owner}/${name}`.toLowerCase());
  }

  function known(fullName: string): Repository {
    const found = repositories.get(fullName.toLowerCase());
    if (!found) throw new Error(`There is no repository ${fullName}; add it first.`);
    return found;
  }

  return {
    url,
    socket,
    requests,
    addToken(token, { login, push, scopes = ['repo'] }) {
      const account = { login, push, scopes };
      tokens.set(token, account);
      accounts.set(login, account);
    },
    addApp({ id, publicKey }) {
      const permissions = { contents: 'write', pull_requests: 'write', metadata: 'read' };
      const app = { id, publicKey, installations: [1001], permissions, lifetimeSeconds: 3600 };
      apps.push(app);
      return app;
    },
    async addRepository(fullName, { private: hidden = false, protectedBranches = [], ...source } = {}) {
      const [owner = '', name = ''] = fullName.split('/');
      const directory = join(root, owner, `${name}.git`);
      const defaultBranch = await createBareRepository(directory, { ...source, protectedBranches });
      const added: Repository = {
        id: repositories.size + 1,
        owner,
        name,
        directory,
        private: hidden,
        defaultBranch,
        protectedBranches,
        pulls: [],
        checkRuns: [],
      };
      repositories.set(fullName.toLowerCase(), added);
      return added;
    },
    pulls: (fullName) => known(fullName).pulls,
    async commit(fullName, { branch, files, message = 'Change files' }) {
      const repository = known(fullName);
      const sha = await commitFiles(repository.directory, branch ?? repository.defaultBranch, files, message);
      await refreshPulls(repository);
      return sha;
    },
    failNext: (failure) => failures.add(failure),
    hang: (failure) => new Promise((reached) => failures.add({ ...failure, hang: true }, reached)),
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

/** The token of any of the ways to send one: `token T`, `Bearer T`, or Basic with the token as the password. */
function tokenIn(authorization: string | undefined): string | undefined {
  const [, scheme = '', value = ''] = /^(\w+) +(\S+)$/.exec(authorization ?? '') ?? [];
  if (scheme.toLowerCase() !== 'basic') return value || undefined;
  const pair = Buffer.from(value, 'base64').toString();
  return pair.slice(pair.indexOf(':') + 1);
}
