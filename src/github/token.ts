import { execa } from 'execa';
import type { Logger } from '../config/logger.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { createAppToken } from './app-token.ts';
import type { Environment, GitHubConfig, TokenSource } from './types.ts';

const MAX_AGE_MS = 60_000;
const TIMEOUT_MS = 15_000;

/** Variables by which gh finds the operator's login, in a file or in the keyring of the session. */
const LOGIN_VARIABLES = [
  'PATH',
  'HOME',
  'GH_CONFIG_DIR',
  'XDG_CONFIG_HOME',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
];

/** Variables that gh uses for any host of their kind. */
const TOKEN_VARIABLES = ['GH_TOKEN', 'GITHUB_TOKEN', 'GH_ENTERPRISE_TOKEN', 'GITHUB_ENTERPRISE_TOKEN'];

/**
 * Returns the source of GitHub tokens. The first of these applies; a token is never sent to another host:
 * 1. for GITHUB_HOST, the GitHub App (whose errors it throws) or GITHUB_TOKEN;
 * 2. the operator's login of gh (`gh auth token`), read at most once a minute and host;
 * 3. undefined, when gh is missing or not logged in.
 * @param deps `parentEnv` is the environment of the server
 */
export function createTokenSource(deps: {
  config: GitHubConfig;
  parentEnv: Environment;
  redactor: Pick<Redactor, 'addSecret'>;
  logger?: Pick<Logger, 'warn'>;
}): TokenSource {
  const { config, parentEnv, redactor } = deps;
  const appToken = createAppToken(deps);
  const cache = new Map<string, { until: number; token: Promise<string | undefined> }>();

  return async (host) => {
    const isDefaultHost = host === config.GITHUB_HOST;
    if (isDefaultHost && appToken !== undefined) return appToken();
    if (isDefaultHost && config.GITHUB_TOKEN !== undefined) return config.GITHUB_TOKEN;
    const cached = cache.get(host);
    if (cached !== undefined && performance.now() < cached.until) return cached.token;
    const token = readGhToken(host, parentEnv, isDefaultHost).then((found) => {
      if (found !== undefined) redactor.addSecret(found);
      return found;
    });
    cache.set(host, { until: performance.now() + MAX_AGE_MS, token });
    return token;
  };
}

async function readGhToken(host: string, parentEnv: Environment, isDefaultHost: boolean): Promise<string | undefined> {
  const env: Record<string, string> = { GH_PROMPT_DISABLED: '1', GH_NO_UPDATE_NOTIFIER: '1', GH_TELEMETRY: 'false' };
  for (const name of isDefaultHost ? [...LOGIN_VARIABLES, ...TOKEN_VARIABLES] : LOGIN_VARIABLES) {
    const value = parentEnv[name];
    if (value !== undefined) env[name] = value;
  }
  const { exitCode, stdout } = await execa('gh', ['auth', 'token', '--hostname', host], {
    env,
    extendEnv: false,
    cwd: '/',
    stdin: 'ignore',
    reject: false,
    timeout: TIMEOUT_MS,
    killDescendants: true,
    killSignal: 'SIGKILL',
  });
  return exitCode === 0 && stdout.trim() !== '' ? stdout.trim() : undefined;
}
