import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { parseEnv } from 'node:util';
import type { TSchema } from '@sinclair/typebox';
import { TransformDecodeError, Value } from '@sinclair/typebox/value';
import { findContradictions } from './contradictions.ts';
import { SettingError } from './settings/kinds.ts';
import { Settings } from './settings.ts';

/** The decoded settings, and the defaults that depend on other settings or on the machine. */
export type Config = Readonly<
  Settings & {
    AGENT_POOL_MEMORY_MB: number;
    GITHUB_HOST: string;
    /** PEM. */
    GITHUB_APP_PRIVATE_KEY?: string;
  }
>;

/** Settings that a file can contain, named by the same setting with `_FILE`. */
const SECRETS = ['GITHUB_TOKEN', 'GEMINI_API_KEY', 'OTEL_EXPORTER_OTLP_HEADERS'] as const satisfies (keyof Settings)[];

/** Variables with the prefix `PULLWRIGHT_` that clients read, not the server. */
const CLIENT_VARIABLES = new Set(['PULLWRIGHT_URL', 'PULLWRIGHT_API_KEY']);

/** All problems of the settings, one line each, with the variable and the remedy. */
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
 * @param envFile path of the `.env` file, which need not exist
 * @throws ConfigError with every problem
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>, envFile = '.env'): Config {
  const problems: string[] = [];
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...readEnvFile(envFile, problems), ...env })) {
    // Compose files and CI pass an unset variable as an empty one.
    if (value !== undefined && value !== '') given[name] = value;
  }
  problems.push(...unknownSettings(given));
  readSecrets(given, problems);

  const valid = readSettings(given, problems);
  const settings = Value.Decode(Settings, Value.Default(Settings, valid));
  const { ALLOWED_REPO_HOSTS: hosts, GITHUB_APP_PRIVATE_KEY_FILE: keyFile } = settings;
  const config: Config = {
    ...settings,
    AGENT_POOL_MEMORY_MB: settings.AGENT_POOL_MEMORY_MB ?? Math.ceil(machineMemory() / 4 / 1024 ** 2),
    GITHUB_HOST: settings.GITHUB_HOST ?? (hosts.length === 1 ? hosts[0] : undefined) ?? 'github.com',
    GITHUB_APP_PRIVATE_KEY: keyFile && readSecretFile('GITHUB_APP_PRIVATE_KEY_FILE', keyFile, problems),
  };
  problems.push(...findContradictions(config));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config);
}

/** Returns the memory of the machine or the container, in bytes. */
function machineMemory(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
}

function readEnvFile(path: string, problems: string[]): Record<string, string | undefined> {
  try {
    return parseEnv(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    problems.push(`${path} cannot be read (${messageOf(error)}). Make it readable, or remove it.`);
    return {};
  }
}

/** Adds the secrets from files to the given settings. */
function readSecrets(given: Record<string, string>, problems: string[]): void {
  for (const name of SECRETS) {
    const file = given[`${name}_FILE`];
    if (file !== undefined && given[name] !== undefined) {
      problems.push(`${name} and ${name}_FILE are both set. Keep one of them.`);
    }
    const secret = file === undefined ? given[name]?.trim() : readSecretFile(`${name}_FILE`, file, problems);
    // Only whitespace counts as unset, like an empty value.
    if (secret) given[name] = secret;
    else delete given[name];
  }
}

function readSecretFile(name: string, file: string, problems: string[]): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    problems.push(`${name} cannot be read (${messageOf(error)}). Name a readable file.`);
    return undefined;
  }
}

/** Returns the valid settings, still encoded. Invalid ones count as unset, so that all are checked at once. */
function readSettings(given: Record<string, string>, problems: string[]): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries<TSchema>(Settings.properties)) {
    const text = given[name];
    if (text === undefined) continue;
    const value = parse(schema, text);
    const wrong = problemsOf(name, schema, text, value);
    if (wrong.length === 0) settings[name] = value;
    problems.push(...wrong);
  }
  return settings;
}

/** Parses exact numbers and truth values only: `80.9` and `yes` are mistakes. */
function parse(schema: TSchema, text: string): unknown {
  if (schema.type === 'integer') return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
  if (schema.type === 'boolean') return text === 'true' || (text === 'false' ? false : text);
  return text;
}

function problemsOf(name: string, schema: TSchema, text: string, value: unknown): string[] {
  const wrong = Value.Errors(schema, value).First();
  if (wrong !== undefined) {
    const shown = /KEY|TOKEN|HEADERS/.test(name) ? '(not shown)' : JSON.stringify(text);
    return [`${name} is ${shown}: ${wrong.message.toLowerCase()}. ${schema.description ?? ''}`.trim()];
  }
  try {
    Value.Decode(schema, value);
    return [];
  } catch (error) {
    if (!(error instanceof TransformDecodeError && error.error instanceof SettingError)) throw error;
    return error.error.problems.map((problem) => `${name} ${problem}`);
  }
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
