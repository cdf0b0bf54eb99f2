import { spawn } from 'node:child_process';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { GIT_ENVIRONMENT } from './bare-repository.ts';
import { type Account, ANONYMOUS, canPush, canRead, type Repository } from './github-model.ts';

/** A response whose body is a stream. */
export type Reply = { status: number; headers: Record<string, string>; body: Readable };

/** The target of a smart-HTTP request: https://git-scm.com/docs/gitprotocol-http */
export type GitTarget = { owner: string; name: string; file: string; query: string; pushes: boolean };

/** Parses the URL of a smart-HTTP request; undefined for other requests. */
export function gitTarget(url: URL): GitTarget | undefined {
  const match = /^\/([\w.-]+)\/([\w.-]+?)(?:\.git)?\/(info\/refs|git-upload-pack|git-receive-pack)$/.exec(url.pathname);
  const [, owner, name, file] = match ?? [];
  if (owner === undefined || name === undefined || file === undefined) return undefined;
  const service = url.searchParams.get('service') ?? file;
  return { owner, name, file, query: url.search.slice(1), pushes: service === 'git-receive-pack' };
}

/**
 * Answers a smart-HTTP request. Refusals have GitHub's messages.
 * @param account undefined for an unknown token
 * @param signal kills git when aborted
 */
export async function answerGit(
  target: GitTarget,
  repository: Repository | undefined,
  account: Account | undefined,
  incoming: IncomingMessage,
  signal: AbortSignal,
): Promise<Reply> {
  if (account === undefined) return refusal(401, 'Invalid username or token.');
  const readable = repository && canRead(repository, account);
  if (account === ANONYMOUS && (target.pushes || !readable)) return refusal(401, 'Authentication required.');
  if (!repository || !readable) return refusal(404, 'Repository not found.');
  if (target.pushes && !canPush(repository, account)) {
    return refusal(403, `Permission to ${target.owner}/${target.name}.git denied to ${account.login}.`);
  }
  return await runBackend(repository.directory, target, account.login, incoming, signal);
}

function refusal(status: number, message: string): Reply {
  const headers: Record<string, string> = { 'content-type': 'text/plain' };
  if (status === 401) headers['www-authenticate'] = 'Basic realm="GitHub"';
  return { status, headers, body: Readable.from([`${message}\n`]) };
}

/** Runs git's own server as CGI: https://git-scm.com/docs/git-http-backend */
async function runBackend(
  directory: string,
  { file, query }: GitTarget,
  login: string,
  incoming: IncomingMessage,
  signal: AbortSignal,
): Promise<Reply> {
  const { headers, method } = incoming;
  const environment = {
    ...GIT_ENVIRONMENT,
    GIT_PROJECT_ROOT: directory,
    GIT_HTTP_EXPORT_ALL: '1',
    PATH_INFO: `/${file}`,
    QUERY_STRING: query,
    REQUEST_METHOD: method,
    REMOTE_USER: login,
    REMOTE_ADDR: '127.0.0.1',
    CONTENT_TYPE: headers['content-type'],
    CONTENT_LENGTH: headers['content-length'],
    HTTP_CONTENT_ENCODING: headers['content-encoding'],
    GIT_PROTOCOL: headers['git-protocol']?.toString(),
  };
  const backend = spawn('git', ['http-backend'], { env: environment, signal, stdio: ['pipe', 'pipe', 'ignore'] });
  // A git that exits early breaks the pipe. Its output explains why.
  backend.on('error', () => {});
  backend.stdin.on('error', () => {});
  incoming.pipe(backend.stdin);
  return { ...(await readHead(backend.stdout)), body: backend.stdout };
}

async function readHead(output: Readable): Promise<{ status: number; headers: Record<string, string> }> {
  let head = Buffer.alloc(0);
  for await (const chunk of output.iterator({ destroyOnReturn: false })) {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) continue;
    output.unshift(head.subarray(end + 4));
    const headers: Record<string, string> = {};
    for (const line of head.subarray(0, end).toString().split('\r\n')) {
      const [name = '', value = ''] = line.split(': ', 2);
      headers[name.toLowerCase()] = value;
    }
    const { status = '200', ...rest } = headers;
    return { status: Number.parseInt(status, 10), headers: rest };
  }
  throw new Error('git http-backend returned no response.');
}
