import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { abortable } from '../concurrency/abortable.ts';
import { CHILD_MARK } from '../config/child-mark.ts';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import { plainLine } from './plain-line.ts';
import type { Environment, GitHubConfig, TokenSource } from './types.ts';

export type GhRequest = {
  /** Host of the repository, such as `github.com`. */
  host: string;
  method: 'GET' | 'POST' | 'PATCH';
  /** Path below the root of the REST API, without a leading slash, its parts already URL-encoded. */
  route: string;
  body?: object;
  signal: AbortSignal;
};

/** An HTTP response of any status (`body` is undefined unless it is JSON), or why there is none. */
export type GhResponse =
  | { kind: 'response'; status: number; headers: Readonly<Record<string, string>>; body: unknown }
  | { kind: 'unreachable'; reason: string };

export type GhApi = (request: GhRequest) => Promise<GhResponse>;

/** Variables that gh gets from the environment of the server. */
const FORWARDED_VARIABLES = [
  CHILD_MARK,
  'PATH',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'HTTPS_PROXY',
  'https_proxy',
  'NO_PROXY',
  'no_proxy',
];

const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_CHARS = 10_000_000;

/**
 * Sends REST requests to GitHub through `gh api`, one process each, without the operator's gh configuration: gh uses
 * `DATA_DIR/gh`. Only the environment of that process holds the token. Retries nothing.
 * @param deps `parentEnv` has PATH and the variables of proxy and certificates
 * @returns a function that throws `github_auth` without a token, `github_failed` when gh is not installed, and the signal's
 * reason when aborted
 */
export function createGhApi(deps: {
  config: GitHubConfig & Pick<Config, 'DATA_DIR'>;
  parentEnv: Environment;
  token: TokenSource;
}): GhApi {
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
      // Without a repository, which gh would read.
      cwd: emptyDir,
      reject: false,
      stripFinalNewline: false,
      maxBuffer: MAX_OUTPUT_CHARS,
      timeout: TIMEOUT_MS,
      cancelSignal: signal,
      killDescendants: true,
      killSignal: 'SIGKILL',
    });

    signal.throwIfAborted();
    if (result.code === 'ENOENT' || result.code === 'EACCES') {
      throw new AppError('github_failed', 'The gh command cannot be started. It may not be installed.', {
        cause: result,
        remedy: 'Install the GitHub CLI, https://cli.github.com, and put gh in the PATH of the server.',
      });
    }
    if (result.timedOut) return { kind: 'unreachable', reason: `no response within ${TIMEOUT_MS / 1000} seconds` };
    if (result.isMaxBuffer) return { kind: 'unreachable', reason: 'the response is too large' };
    // The status line decides: exit codes and messages differ between versions of gh.
    return parseOutput(result.stdout) ?? { kind: 'unreachable', reason: plainLine(result.stderr) || 'no response' };
  };
}

/** Newer versions of gh rewrite a file without `version`. JSON strings are valid YAML. */
function configFile(socket: string | undefined): string {
  return `version: "1"\n${socket === undefined ? '' : `http_unix_socket: ${JSON.stringify(socket)}\n`}`;
}

function environment(parentEnv: Environment, configDir: string): Record<string, string> {
  const forwarded = FORWARDED_VARIABLES.flatMap((name) => {
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

/** gh reads GH_TOKEN for github.com and GH_ENTERPRISE_TOKEN for other hosts; for *.ghe.com it depends on the version. */
function credentials(host: string, token: string): Record<string, string> {
  return {
    GH_HOST: host,
    ...(host === 'github.com' || host.endsWith('.ghe.com') ? { GH_TOKEN: token } : {}),
    ...(host === 'github.com' ? {} : { GH_ENTERPRISE_TOKEN: token }),
  };
}

/** Parses the output of `gh api -i`: status line (HTTP/2 has no reason phrase), headers, empty line, body. */
function parseOutput(output: string): GhResponse | undefined {
  const [, status, head, text] =
    /^HTTP\/[\d.]+ (\d{3})[^\r\n]*\r?\n((?:[^\r\n]+\r?\n)*)\r?\n([\s\S]*)$/.exec(output) ?? [];
  if (status === undefined || head === undefined || text === undefined) return undefined;
  const headers: Record<string, string> = {};
  for (const line of head.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { kind: 'response', status: Number(status), headers, body: parseJson(text) };
}

/** Returns undefined for anything but JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
