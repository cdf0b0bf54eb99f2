import { CHILD_MARK } from '../config/child-mark.ts';
import type { Config } from '../config/load-config.ts';

export type ParentEnv = Readonly<Record<string, string | undefined>>;

/** Variables of the server that git inherits: to be found, and to reach the network. git inherits no others. */
const FORWARDED = [
  CHILD_MARK,
  'PATH',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'GIT_SSL_CAINFO',
  'HTTPS_PROXY',
  'https_proxy',
  'NO_PROXY',
  'no_proxy',
];

/** Settings of each command, after those of the operator and of the repository: neither can override them. */
const SETTINGS: readonly [string, string][] = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.quotePath', 'false'],
  // Neither commits nor checks out names that some file system treats as `.git`.
  ['core.protectHFS', 'true'],
  ['core.protectNTFS', 'true'],
  ['submodule.recurse', 'false'],
  // Tickets borrow objects from the mirrors, so git must not delete any.
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  // A redirect could lead to a host that is not allowed. A stalled transfer is aborted.
  ['http.followRedirects', 'false'],
  ['http.lowSpeedLimit', '1000'],
  ['http.lowSpeedTime', '60'],
];

/** A reported commit and its index must survive a power loss. */
export const DURABLE: readonly [string, string][] = [
  ['core.fsync', 'added'],
  ['core.fsyncMethod', 'batch'],
];
export const NOT_DURABLE: readonly [string, string][] = [['core.fsync', 'none']];

/**
 * Returns the environment of a git command. git reads no configuration of the machine or of a user.
 * @param parentEnv the environment of the server. Of git's variables, only `GIT_ALLOW_PROTOCOL` and `GIT_CONFIG_*` are
 *   inherited: the settings of the operator, such as a URL rewrite
 * @param durability `DURABLE` or `NOT_DURABLE`
 */
export function gitEnvironment(
  config: Pick<Config, 'GIT_AUTHOR_NAME' | 'GIT_AUTHOR_EMAIL'>,
  parentEnv: ParentEnv,
  durability: readonly [string, string][],
): Record<string, string> {
  return {
    ...pick(parentEnv, FORWARDED),
    ...bareEnvironment(),
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_LITERAL_PATHSPECS: '1',
    GIT_ALLOW_PROTOCOL: parentEnv.GIT_ALLOW_PROTOCOL ?? 'https',
    GIT_AUTHOR_NAME: config.GIT_AUTHOR_NAME,
    GIT_AUTHOR_EMAIL: config.GIT_AUTHOR_EMAIL,
    GIT_COMMITTER_NAME: config.GIT_AUTHOR_NAME,
    GIT_COMMITTER_EMAIL: config.GIT_AUTHOR_EMAIL,
    ...settingsAsVariables([...operatorSettings(parentEnv), ...SETTINGS, ...durability]),
  };
}

/** Returns the environment of queries: simple-git refuses variables with settings. */
export function queryEnvironment(parentEnv: ParentEnv): Record<string, string> {
  return { ...pick(parentEnv, [CHILD_MARK, 'PATH']), ...bareEnvironment() };
}

function bareEnvironment(): Record<string, string> {
  return {
    HOME: '/nonexistent',
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_OPTIONAL_LOCKS: '0',
  };
}

function pick(env: ParentEnv, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = env[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}

function operatorSettings(env: ParentEnv): [string, string][] {
  const settings: [string, string][] = [];
  for (let index = 0; index < Number(env.GIT_CONFIG_COUNT ?? 0); index += 1) {
    const key = env[`GIT_CONFIG_KEY_${index}`];
    const value = env[`GIT_CONFIG_VALUE_${index}`];
    if (key === undefined || value === undefined) break;
    settings.push([key, value]);
  }
  return settings;
}

function settingsAsVariables(settings: readonly (readonly [string, string])[]): Record<string, string> {
  const variables: Record<string, string> = { GIT_CONFIG_COUNT: String(settings.length) };
  for (const [index, [key, value]] of settings.entries()) {
    variables[`GIT_CONFIG_KEY_${index}`] = key;
    variables[`GIT_CONFIG_VALUE_${index}`] = value;
  }
  return variables;
}
