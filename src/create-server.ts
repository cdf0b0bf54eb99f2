import { type DestinationStream, pino } from 'pino';
import { buildApp } from './app.ts';
import type { Config } from './config/load-config.ts';
import { createRedactor } from './redaction/redactor.ts';
import { MIN_SECRET_LENGTH } from './redaction/secret-forms.ts';

export type ServerOptions = {
  config: Config;
  /** Environment from which git and gh get proxies, certificates and the operator's git settings. */
  parentEnv: Readonly<Record<string, string | undefined>>;
  /** Destination of the log; stdout by default. */
  log?: DestinationStream;
  redactor?: ReturnType<typeof createRedactor>;
};

/**
 * Creates the server and its log, from which secrets are redacted. It does not listen yet.
 * @throws Error when a plugin cannot start
 */
export async function createServer({ config, parentEnv, log, redactor = createRedactor() }: ServerOptions) {
  const secrets = secretsOf(config);
  for (const [, secret] of secrets) redactor.addSecret(secret);
  const options = {
    level: config.LOG_LEVEL,
    hooks: { streamWrite: redactor.json },
    redact: ['req.headers.authorization', 'req.headers["x-api-key"]'],
  };
  const pretty = { transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname' } } };
  const logger = log === undefined ? pino({ ...options, ...(process.stdout.isTTY ? pretty : {}) }) : pino(options, log);
  const short = secrets.filter(([, secret]) => secret.length < MIN_SECRET_LENGTH).map(([name]) => name);
  if (short.length > 0) logger.warn({ settings: short }, 'secret too short to redact');
  return buildApp({ config, parentEnv, logger, redactor });
}

/** Returns the secrets among the settings, by name. */
function secretsOf(config: Config): [name: string, secret: string][] {
  const { API_KEY, GEMINI_API_KEY, GITHUB_TOKEN, GITHUB_APP_PRIVATE_KEY } = config;
  const settings = Object.entries({ API_KEY, GEMINI_API_KEY, GITHUB_TOKEN, GITHUB_APP_PRIVATE_KEY });
  // The token after `Bearer` is a secret too.
  const headers = Object.values(config.OTEL_EXPORTER_OTLP_HEADERS)
    .flatMap((value) => value.split(' '))
    .filter((word) => word.length >= MIN_SECRET_LENGTH)
    .map((word) => ['OTEL_EXPORTER_OTLP_HEADERS', word] as const);
  return [...settings, ...headers].flatMap(([name, secret]) => (secret === undefined ? [] : [[name, secret]]));
}
