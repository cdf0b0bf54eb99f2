import { type DestinationStream, pino } from 'pino';
import { buildApp } from './app.ts';
import type { Config } from './config/load-config.ts';
import { createRedactor } from './redaction/redactor.ts';
import { MIN_SECRET_LENGTH } from './redaction/secret-forms.ts';

export type ServerOptions = {
  config: Config;
  /** Environment that git and gh take proxies, certificates and the operator's git settings from. */
  parentEnv: Readonly<Record<string, string | undefined>>;
  /** What the log is written to, instead of stdout. */
  log?: DestinationStream;
  redactor?: ReturnType<typeof createRedactor>;
};

/**
 * The server as its settings describe it, with a log that holds none of its secrets; not yet listening.
 * @throws what keeps it from booting
 */
export async function createServer({ config, parentEnv, log, redactor = createRedactor() }: ServerOptions) {
  const secrets = secretsOf(config);
  for (const [, secret] of secrets) redactor.addSecret(secret);
  const options = {
    level: config.LOG_LEVEL,
    hooks: { streamWrite: redactor.json },
    redact: ['req.headers.authorization', 'req.headers["x-api-key"]'],
  };
  const forPeople = { transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname' } } };
  const logger =
    log === undefined ? pino({ ...options, ...(process.stdout.isTTY ? forPeople : {}) }) : pino(options, log);
  const short = secrets.filter(([, secret]) => secret.length < MIN_SECRET_LENGTH).map(([name]) => name);
  if (short.length > 0) logger.warn({ settings: short }, 'too short to be kept out of what the server says');
  return buildApp({ config, parentEnv, logger, redactor });
}

/** The settings that must not leave the server. */
function secretsOf(config: Config): [name: string, secret: string][] {
  const { API_KEY, GEMINI_API_KEY, GITHUB_TOKEN, GITHUB_APP_PRIVATE_KEY } = config;
  const settings = Object.entries({ API_KEY, GEMINI_API_KEY, GITHUB_TOKEN, GITHUB_APP_PRIVATE_KEY });
  // What comes after `Bearer` is a secret by itself.
  const headers = Object.values(config.OTEL_EXPORTER_OTLP_HEADERS)
    .flatMap((value) => value.split(' '))
    .filter((word) => word.length >= MIN_SECRET_LENGTH)
    .map((word) => ['OTEL_EXPORTER_OTLP_HEADERS', word] as const);
  return [...settings, ...headers].flatMap(([name, secret]) => (secret === undefined ? [] : [[name, secret]]));
}
