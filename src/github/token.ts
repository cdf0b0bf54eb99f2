import { execa } from 'execa';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { createAppToken } from './app-token.ts';
import type { Environment, TokenSource } from './types.ts';

const CACHE_MILLISECONDS = 60_000;
const TIMEOUT_MILLISECONDS = 15_000;

/** What leads gh to the operator's own login, in a file or in the keyring of the session. */
const LOGIN_VARIABLES = [
  'PATH',
  'HOME',
  'GH_CONFIG_DIR',
  'XDG_CONFIG_HOME',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
];

/** gh would take these for any host of their kind. */
const TOKEN_VARIABLES = ['GH_TOKEN', 'GITHUB_TOKEN', 'GH_ENTERPRISE_TOKEN', 'GITHUB_ENTERPRISE_TOKEN'];

/**
 * Where the GitHub token comes from: for GITHUB_HOST the GitHub App or the setting GITHUB_TOKEN, and else the login of
 * the gh command itself (`gh auth token`), asked for at most once a minute and host. gh missing or not logged in gives
 * undefined. A token never goes to another host than the one it is for.
 * @param deps `parentEnv` is the server's environment, which leads gh to the operator's login
 * @returns the source; it throws what app-token.ts does
 */
export function createTokenSource(deps: {
  config: Config;
  parentEnv: Environment;
  redactor: Pick<Redactor, 'addSecret'>;
  logger?: Pick<Logger, 'warn'>;
}): TokenSource {
  const { config, parentEnv, redactor } = deps;
  const appToken = createAppToken(deps);
  const cache = new Map<string, { until: number; token: Promise<string | undefined> }>();

  return async (host) => {
    const isOurs = host === config.GITHUB_HOST;
    if (isOurs && appToken !== undefined) return appToken();
    if (isOurs && config.GITHUB_TOKEN !== undefined) return config.GITHUB_TOKEN;
    const cached = cache.get(host);
    if (cached !== undefined && performance.now() < cached.until) return cached.token;
    const token = askGh(host, parentEnv, isOurs).then((found) => {
      if (found !== undefined) redactor.addSecret(found);
      return found;
    });
    cache.set(host, { until: performance.now() + CACHE_MILLISECONDS, token });
    return token;
  };
}

async function askGh(host: string, parentEnv: Environment, isOurs: boolean): Promise<string | undefined> {
  const env: Record<string, string> = { GH_PROMPT_DISABLED: '1', GH_NO_UPDATE_NOTIFIER: '1', GH_TELEMETRY: 'false' };
  for (const name of isOurs ? [...LOGIN_VARIABLES, ...TOKEN_VARIABLES] : LOGIN_VARIABLES) {
    const value = parentEnv[name];
    if (value !== undefined) env[name] = value;
  }
  const { exitCode, stdout } = await execa('gh', ['auth', 'token', '--hostname', host], {
    env,
    extendEnv: false,
    cwd: '/',
    stdin: 'ignore',
    reject: false,
    timeout: TIMEOUT_MILLISECONDS,
    killDescendants: true,
    killSignal: 'SIGKILL',
  });
  return exitCode === 0 && stdout.trim() !== '' ? stdout.trim() : undefined;
}
