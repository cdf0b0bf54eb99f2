import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { abortable } from '../concurrency/abortable.ts';
import { CHILD_MARK } from '../config/child-mark.ts';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import { plainLine } from './plain-line.ts';
import type { Environment, TokenSource } from './types.ts';

export type GhRequest = {
  /** Host of the repository, such as `github.com`. */
  host: string;
  method: 'GET' | 'POST' | 'PATCH';
  /** Path below the root of the REST API, without a leading slash, its parts already URL-encoded. */
  route: string;
  body?: object;
  signal: AbortSignal;
};

/** What came back: an HTTP answer of any status (`body` undefined when it is not JSON), or none and why. */
export type GhAnswer =
  | { kind: 'answer'; status: number; headers: Readonly<Record<string, string>>; body: unknown }
  | { kind: 'unreachable'; reason: string };

export type GhApi = (request: GhRequest) => Promise<GhAnswer>;

/** What gh needs of the server's environment to be found and to reach the network the way the operator set it up. */
const FORWARDED = [
  CHILD_MARK,
  'PATH',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'HTTPS_PROXY',
  'https_proxy',
  'NO_PROXY',
  'no_proxy',
];

const TIMEOUT_SECONDS = 60;
const MAX_ANSWER_CHARACTERS = 10_000_000;

/**
 * Sends single REST requests to GitHub through `gh api`, each in a process of its own that knows nothing of the
 * operator's gh configuration. The token is in the environment of that process only. Nothing is tried twice.
 * @param deps `DATA_DIR/gh` becomes the private configuration folder of gh; `parentEnv` gives PATH, proxy and
 * certificate variables
 * @returns a function that gives GitHub's answer; it throws `github_auth` when there is no token, `github_failed` when
 * gh is not installed, and the signal's reason when aborted
 */
export function createGhApi(deps: { config: Config; parentEnv: Environment; token: TokenSource }): GhApi {
  const { config, parentEnv, token } = deps;
  const configDir = join(config.DATA_DIR, 'gh');
  const emptyDir = join(configDir, 'empty');
  let prepared: Promise<void> | undefined;

  async function prepare(): Promise<void> {
    await mkdir(emptyDir, { recursive: true, mode: 0o700 });
    await chmod(configDir, 0o700);
    await writeFile(join(configDir, 'config.yml'), configFile(config.GITHUB_HTTP_UNIX_SOCKET), { mode: 0o600 });
  }

  return async ({ host, method, route, body, signal }) => {
    signal.throwIfAborted();
    const secret = await abortable(token(host), signal);
    if (secret === undefined) {
      throw new AppError('github_auth', `There is no GitHub token for ${host}.`, {
        remedy: 'Set GITHUB_TOKEN, or log the gh command in with `gh auth login`.',
      });
    }
    prepared ??= prepare().catch((error: unknown) => {
      prepared = undefined;
      throw error;
    });
    await prepared;

    const headers = ['Accept: application/vnd.github+json', 'X-GitHub-Api-Version: 2022-11-28'];
    const args = ['api', '-i', '-X', method, ...headers.flatMap((header) => ['-H', header])];
    const result = await execa('gh', [...args, ...(body === undefined ? [] : ['--input', '-']), route], {
      ...(body === undefined ? { stdin: 'ignore' } : { input: JSON.stringify(body) }),
      env: { ...environment(parentEnv, configDir), ...credentials(host, secret) },
      extendEnv: false,
      // gh looks for a repository in its working directory.
      cwd: emptyDir,
      reject: false,
      stripFinalNewline: false,
      maxBuffer: MAX_ANSWER_CHARACTERS,
      timeout: TIMEOUT_SECONDS * 1000,
      cancelSignal: signal,
      killDescendants: true,
      killSignal: 'SIGKILL',
    });

    signal.throwIfAborted();
    if (result.code === 'ENOENT' || result.code === 'EACCES') {
      throw new AppError('github_failed', 'The gh command cannot be started; it seems not to be installed.', {
        cause: result,
        remedy: 'Install the GitHub CLI, https://cli.github.com, and put gh in the PATH of the server.',
      });
    }
    if (result.timedOut) return { kind: 'unreachable', reason: `no answer within ${TIMEOUT_SECONDS} seconds` };
    if (result.isMaxBuffer) return { kind: 'unreachable', reason: 'the answer is too large' };
    // The exit code and the words on stderr differ between versions of gh; the status line does not.
    return parseAnswer(result.stdout) ?? { kind: 'unreachable', reason: plainLine(result.stderr) || 'no answer' };
  };
}

/** A file without `version` would be rewritten by newer versions of gh. JSON strings are YAML strings. */
function configFile(socket: string | undefined): string {
  return `version: "1"\n${socket === undefined ? '' : `http_unix_socket: ${JSON.stringify(socket)}\n`}`;
}

function environment(parentEnv: Environment, configDir: string): Record<string, string> {
  const forwarded = FORWARDED.flatMap((name) => {
    const value = parentEnv[name];
    return value === undefined ? [] : [[name, value]];
  });
  return {
    ...Object.fromEntries(forwarded),
    HOME: configDir,
    GH_CONFIG_DIR: configDir,
    GH_PROMPT_DISABLED: '1',
    GH_NO_UPDATE_NOTIFIER: '1',
    GH_TELEMETRY: 'false',
    DO_NOT_TRACK: '1',
    NO_COLOR: '1',
    LC_ALL: 'C.UTF-8',
  };
}

/** gh reads GH_TOKEN for github.com and GH_ENTERPRISE_TOKEN for any other host; for *.ghe.com it depends on its version. */
function credentials(host: string, token: string): Record<string, string> {
  return {
    GH_HOST: host,
    ...(host === 'github.com' || host.endsWith('.ghe.com') ? { GH_TOKEN: token } : {}),
    ...(host === 'github.com' ? {} : { GH_ENTERPRISE_TOKEN: token }),
  };
}

/** Output of `gh api -i`: a status line (HTTP/2 has no reason phrase), headers, an empty line, the body. */
function parseAnswer(output: string): GhAnswer | undefined {
  const [, status, head, text] =
    /^HTTP\/[\d.]+ (\d{3})[^\r\n]*\r?\n((?:[^\r\n]+\r?\n)*)\r?\n([\s\S]*)$/.exec(output) ?? [];
  if (status === undefined || head === undefined || text === undefined) return undefined;
  const headers: Record<string, string> = {};
  for (const line of head.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { kind: 'answer', status: Number(status), headers, body: parseJson(text) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
