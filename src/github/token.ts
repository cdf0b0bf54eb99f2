import { execa } from 'execa';
import type { Config } from '../config/load-config.ts';
import type { Redactor } from '../redaction/redactor.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Gives the token for a host, or undefined when there is none. */
export type TokenSource = (host: string) => Promise<string | undefined>;

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
  'GH_TOKEN',
  'GITHUB_TOKEN',
  'GH_ENTERPRISE_TOKEN',
  'GITHUB_ENTERPRISE_TOKEN',
];

/**
 * Where the GitHub token comes from: the setting GITHUB_TOKEN, else the login of the gh command itself
 * (`gh auth token`), asked for at most once a minute and host. gh missing or not logged in gives undefined.
 * @param deps `parentEnv` is the server's environment, which leads gh to the operator's login
 */
export function createTokenSource(deps: {
  config: Config;
  parentEnv: Environment;
  redactor: Pick<Redactor, 'learn'>;
}): TokenSource {
  const { config, parentEnv, redactor } = deps;
  const cache = new Map<string, { until: number; token: Promise<string | undefined> }>();

  return async (host) => {
    if (config.GITHUB_TOKEN !== undefined) return config.GITHUB_TOKEN;
    const cached = cache.get(host);
    if (cached !== undefined && performance.now() < cached.until) return cached.token;
    const token = askGh(host, parentEnv).then((found) => {
      if (found !== undefined) redactor.learn(found);
      return found;
    });
    cache.set(host, { until: performance.now() + CACHE_MILLISECONDS, token });
    return token;
  };
}

async function askGh(host: string, parentEnv: Environment): Promise<string | undefined> {
  const env: Record<string, string> = { GH_PROMPT_DISABLED: '1', GH_NO_UPDATE_NOTIFIER: '1', GH_TELEMETRY: 'false' };
  for (const name of LOGIN_VARIABLES) {
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
