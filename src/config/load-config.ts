import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { totalmem } from 'node:os';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { FormatRegistry, type TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { parseOtlpHeaders } from './otlp-headers.ts';
import { readProtectedPaths } from './protected-paths.ts';
import { Settings } from './settings.ts';

FormatRegistry.Set('uri', (value) => URL.canParse(value));

/** Kinds of ACP's tool calls that a person can be asked about; the others change nothing but the agent itself. */
const ASKABLE_KINDS = ['read', 'edit', 'delete', 'move', 'search', 'execute', 'fetch', 'other'] as const;
export type AskableKind = (typeof ASKABLE_KINDS)[number];

/** Variables of this prefix that are not settings of the server but of its clients. */
const CLIENT_VARIABLES = new Set(['PULLWRIGHT_URL', 'PULLWRIGHT_API_KEY']);

/** A name of at least two labels, the last of which is no number: no address, and no name of the own network. */
const EGRESS_HOST =
  /^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;

/** Both ends belong to it. */
export type UidRange = { first: number; last: number };

/** The kernel takes 2^32 - 1 for "no user". */
const MAX_UID = 2 ** 32 - 2;
/** So that two workspaces do not get the same one by chance. */
const MIN_UIDS = 1000;

export type Config = Readonly<
  Omit<
    Settings,
    | 'AGENT_POOL_MEMORY_MB'
    | 'ALLOWED_HOSTS'
    | 'ALLOWED_REPO_HOSTS'
    | 'ASK_PERMISSION'
    | 'CORS_ORIGINS'
    | 'EGRESS_ALLOW'
    | 'GITHUB_HOST'
    | 'OTEL_EXPORTER_OTLP_HEADERS'
    | 'PROTECTED_PATHS'
    | 'SANDBOX_UIDS'
    | 'TRUST_PROXY'
    | 'VERIFY_COMMAND'
  > & {
    AGENT_POOL_MEMORY_MB: number;
    ALLOWED_HOSTS: readonly string[];
    ALLOWED_REPO_HOSTS: readonly string[];
    ASK_PERMISSION: readonly AskableKind[];
    CORS_ORIGINS: readonly string[];
    EGRESS_ALLOW: readonly string[];
    TRUST_PROXY: readonly string[];
    PROTECTED_PATHS: readonly string[];
    GITHUB_HOST: string;
    SANDBOX_UIDS: UidRange;
    /** PEM. */
    GITHUB_APP_PRIVATE_KEY?: string;
    /** By name in lower case. */
    OTEL_EXPORTER_OTLP_HEADERS: Readonly<Record<string, string>>;
    VERIFY_COMMAND?: readonly [string, ...string[]];
  }
>;

/** What the machine has, or the container on it, in bytes. */
function machineMemory(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
}

/** All that is wrong with the settings, one line each, naming the variable and the remedy. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The settings are not valid:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/**
 * Reads the settings from an environment and a `.env` file; variables of the environment win.
 * @param env the environment, usually `process.env`
 * @param envFile path of the `.env` file; it need not exist
 * @throws ConfigError with every problem at once
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>, envFile = '.env'): Config {
  const problems: string[] = [];
  const fromFile = readEnvFile(envFile, problems);
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...fromFile, ...env })) {
    // An empty variable counts as unset: compose files and CI hand them over that way.
    if (value !== undefined && value !== '') given[name] = value;
  }
  problems.push(...unknownSettings(given));

  const settings: unknown = Value.Default(Settings, readSettings(given, problems));
  if (!Value.Check(Settings, settings)) throw new ConfigError(problems);

  const {
    ALLOWED_HOSTS,
    ALLOWED_REPO_HOSTS,
    ASK_PERMISSION,
    CORS_ORIGINS,
    EGRESS_ALLOW,
    OTEL_EXPORTER_OTLP_HEADERS,
    PROTECTED_PATHS,
    SANDBOX_UIDS,
    TRUST_PROXY,
    VERIFY_COMMAND,
    ...rest
  } = settings;
  const verify = VERIFY_COMMAND === undefined ? undefined : parseCommand(VERIFY_COMMAND, problems);
  const protectedPaths = readProtectedPaths(split(PROTECTED_PATHS));
  problems.push(...protectedPaths.problems);
  const repoHosts = split(ALLOWED_REPO_HOSTS).map((host) => host.toLowerCase());
  const config: Config = {
    ...rest,
    DATA_DIR: resolve(settings.DATA_DIR),
    TICKETS_ROOT: resolve(settings.TICKETS_ROOT),
    AGENT_POOL_MEMORY_MB: settings.AGENT_POOL_MEMORY_MB ?? Math.ceil(machineMemory() / 4 / 1024 ** 2),
    ALLOWED_HOSTS: split(ALLOWED_HOSTS).map((host) => host.toLowerCase()),
    ALLOWED_REPO_HOSTS: repoHosts,
    GITHUB_HOST: (
      settings.GITHUB_HOST ??
      (repoHosts.length === 1 ? repoHosts[0] : undefined) ??
      'github.com'
    ).toLowerCase(),
    ASK_PERMISSION: parseKinds(ASK_PERMISSION, problems),
    CORS_ORIGINS: split(CORS_ORIGINS),
    SANDBOX_UIDS: parseUids(SANDBOX_UIDS, problems),
    TRUST_PROXY: split(TRUST_PROXY),
    EGRESS_ALLOW: split(EGRESS_ALLOW).map((host) => host.toLowerCase()),
    PROTECTED_PATHS: protectedPaths.paths,
    ...secret('GITHUB_TOKEN', settings.GITHUB_TOKEN, settings.GITHUB_TOKEN_FILE, problems),
    ...secret('GITHUB_APP_PRIVATE_KEY', undefined, settings.GITHUB_APP_PRIVATE_KEY_FILE, problems),
    ...secret('GEMINI_API_KEY', settings.GEMINI_API_KEY, settings.GEMINI_API_KEY_FILE, problems),
    OTEL_EXPORTER_OTLP_HEADERS: otlpHeaders(OTEL_EXPORTER_OTLP_HEADERS, settings, problems),
    ...(verify === undefined ? {} : { VERIFY_COMMAND: verify }),
  };
  problems.push(...contradictions(config));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config);
}

/** Whether a listening address is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function readEnvFile(path: string, problems: string[]): Record<string, string | undefined> {
  try {
    return parseEnv(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    problems.push(
      `${path} cannot be read (${error instanceof Error ? error.message : error}). Make it readable, or remove it.`,
    );
    return {};
  }
}

/** The settings that are given and valid; of the others, problems. They count as unset, so that all is checked at once. */
function readSettings(given: Record<string, string>, problems: string[]): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries<TSchema>(Settings.properties)) {
    const text = given[name];
    if (text === undefined) continue;
    const value = read(schema, text);
    const wrong = Value.Errors(schema, value).First();
    if (wrong === undefined) settings[name] = value;
    else problems.push(describe(name, text, wrong.message, schema.description));
  }
  return settings;
}

/** Only what is written like a number or a truth value is taken for one: `80.9` and `yes` are mistakes. */
function read(schema: TSchema, text: string): unknown {
  if (schema.type === 'integer') return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
  if (schema.type === 'boolean') return text === 'true' || (text === 'false' ? false : text);
  return text;
}

function unknownSettings(given: Record<string, string>): string[] {
  return Object.keys(given)
    .filter((name) => name.startsWith('PULLWRIGHT_') && !CLIENT_VARIABLES.has(name))
    .map((name) => {
      const bare = name.slice('PULLWRIGHT_'.length);
      return bare in Settings.properties
        ? `${name} is not a setting. The setting is called ${bare}.`
        : `${name} is not a setting. Remove it; docs/configuration.md lists the settings.`;
    });
}

function describe(name: string, text: string, message: string, description = ''): string {
  const shown = /KEY|TOKEN|HEADERS/.test(name) ? '(not shown)' : JSON.stringify(text);
  return `${name} is ${shown}: ${message.toLowerCase()}. ${description}`.trim();
}

function parseCommand(value: string, problems: string[]): readonly [string, ...string[]] | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    if (Array.isArray(parsed) && parsed.every((part) => typeof part === 'string')) {
      const [program, ...args] = parsed;
      if (program) return [program, ...args];
    }
  } catch {
    // Said below: not JSON and not an array of strings have the same remedy.
  }
  problems.push('VERIFY_COMMAND is not a JSON array of strings. Write it like ["npm","test"].');
  return undefined;
}

function parseUids(value: string, problems: string[]): UidRange {
  const [first = 0, last = 0] = value.split('-').map(Number);
  if (last > MAX_UID || last - first < MIN_UIDS - 1) {
    problems.push(
      `SANDBOX_UIDS is ${value}. Write FIRST-LAST, a range of at least ${MIN_UIDS} uids up to ${MAX_UID}, such as 1900000000-1900065535.`,
    );
  }
  return { first, last };
}

function parseKinds(value: string, problems: string[]): AskableKind[] {
  return split(value).flatMap((word) => {
    const kind = ASKABLE_KINDS.find((known) => known === word);
    if (kind !== undefined) return [kind];
    problems.push(`ASK_PERMISSION names ${JSON.stringify(word)}. Use kinds of ${ASKABLE_KINDS.join(', ')}.`);
    return [];
  });
}

function otlpHeaders(
  given: string | undefined,
  { OTEL_EXPORTER_OTLP_HEADERS_FILE: file }: Settings,
  problems: string[],
): Readonly<Record<string, string>> {
  const { OTEL_EXPORTER_OTLP_HEADERS: text = '' } = secret('OTEL_EXPORTER_OTLP_HEADERS', given, file, problems);
  const headers = parseOtlpHeaders(text);
  if (headers === undefined) {
    problems.push(
      'OTEL_EXPORTER_OTLP_HEADERS is (not shown), which is no list of headers. Write it like authorization=Bearer%20TOKEN.',
    );
  }
  return headers ?? {};
}

function secret<
  Name extends 'GITHUB_TOKEN' | 'GITHUB_APP_PRIVATE_KEY' | 'GEMINI_API_KEY' | 'OTEL_EXPORTER_OTLP_HEADERS',
>(name: Name, value: string | undefined, file: string | undefined, problems: string[]): { [N in Name]?: string } {
  const found: { [N in Name]?: string } = {};
  if (file === undefined) {
    if (value !== undefined) found[name] = value.trim();
    return found;
  }
  if (value !== undefined) problems.push(`${name} and ${name}_FILE are both set. Keep one of them.`);
  try {
    found[name] = readFileSync(file, 'utf8').trim();
  } catch (error) {
    problems.push(
      `${name}_FILE cannot be read (${error instanceof Error ? error.message : error}). Name a readable file.`,
    );
  }
  return found;
}

function contradictions(config: Config): string[] {
  const problems: string[] = [];
  const local = isLoopback(config.HOST);
  if (!local && config.SANDBOX === 'none') {
    problems.push(
      `SANDBOX is "none", which is for loopback only, and HOST is ${JSON.stringify(config.HOST)}. Set SANDBOX=bubblewrap, or set HOST=127.0.0.1.`,
    );
  }
  problems.push(...githubContradictions(config));
  if (config.RETAIN_AUDIT_DAYS > 0 && config.RETAIN_AUDIT_DAYS < 30) {
    problems.push(`RETAIN_AUDIT_DAYS is ${config.RETAIN_AUDIT_DAYS}. Set it to at least 30, or to 0 to keep all.`);
  }
  for (const host of config.ALLOWED_REPO_HOSTS) {
    if (!/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/.test(host)) {
      problems.push(
        `ALLOWED_REPO_HOSTS holds ${JSON.stringify(host)}, which is not a host name. Write it like github.com.`,
      );
    }
  }
  for (const origin of config.CORS_ORIGINS) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
      problems.push(
        `CORS_ORIGINS holds ${JSON.stringify(origin)}, which is not an origin. Write it like https://tickets.example.org.`,
      );
    }
  }
  for (const proxy of config.TRUST_PROXY.filter((text) => !isAddressRange(text))) {
    problems.push(
      `TRUST_PROXY holds ${JSON.stringify(proxy)}, which is no address and no range. Write it like 127.0.0.1 or 10.0.0.0/8.`,
    );
  }
  for (const host of config.EGRESS_ALLOW) {
    if (!EGRESS_HOST.test(host)) {
      problems.push(
        `EGRESS_ALLOW holds ${JSON.stringify(host)}, which is not a host name. Write it like registry.npmjs.org or *.example.org.`,
      );
    }
  }
  return problems;
}

/** An IP address, or a range of them in CIDR notation (RFC 4632). */
function isAddressRange(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const longest = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0;
  if (longest === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) > 0 && Number(bits) <= longest);
}

function githubContradictions(config: Config): string[] {
  const { GITHUB_TOKEN, GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY: key, GITHUB_HOST, ALLOWED_REPO_HOSTS } = config;
  const problems: string[] = [];
  if (GITHUB_APP_ID !== undefined && config.GITHUB_APP_PRIVATE_KEY_FILE === undefined) {
    problems.push('GITHUB_APP_ID is set and GITHUB_APP_PRIVATE_KEY_FILE is not. Set both, or none.');
  }
  if (GITHUB_APP_ID === undefined && config.GITHUB_APP_PRIVATE_KEY_FILE !== undefined) {
    problems.push('GITHUB_APP_PRIVATE_KEY_FILE is set and GITHUB_APP_ID is not. Set both, or none.');
  }
  if (GITHUB_APP_ID !== undefined && GITHUB_TOKEN !== undefined) {
    problems.push('GITHUB_APP_ID and GITHUB_TOKEN are both set. Keep one of them.');
  }
  if (key !== undefined && !isRsaKey(key)) {
    problems.push('GITHUB_APP_PRIVATE_KEY_FILE holds no RSA private key in PEM. Name the file that GitHub gave out.');
  }
  if ((GITHUB_TOKEN ?? GITHUB_APP_ID) !== undefined && !ALLOWED_REPO_HOSTS.includes(GITHUB_HOST)) {
    problems.push(
      `GITHUB_HOST is ${JSON.stringify(GITHUB_HOST)}, which is not in ALLOWED_REPO_HOSTS. Set it to the host that the token or the app is for.`,
    );
  }
  return problems;
}

function isRsaKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa';
  } catch {
    return false;
  }
}

function split(value: string): string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
