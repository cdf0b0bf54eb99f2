import closeWithGrace from 'close-with-grace';
import { pino } from 'pino';
import { buildApp } from './app.ts';
import { type Config, ConfigError, loadConfig } from './config/load-config.ts';
import { createRedactor } from './redaction/redactor.ts';
import { SHORTEST_SECRET } from './redaction/secret-forms.ts';

const redactor = createRedactor();

/** Starts the server from the environment and `.env`, and stops it gracefully on a signal; a second one forces it. */
async function main(): Promise<void> {
  const config = configOrExit();
  const secrets = secretsOf(config);
  for (const [, secret] of secrets) redactor.learn(secret);
  const logger = pino({
    level: config.LOG_LEVEL,
    hooks: { streamWrite: redactor.json },
    redact: ['req.headers.authorization', 'req.headers["x-api-key"]'],
    ...(process.stdout.isTTY ? { transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname' } } } : {}),
  });
  const short = secrets.filter(([, secret]) => secret.length < SHORTEST_SECRET).map(([name]) => name);
  if (short.length > 0) logger.warn({ settings: short }, 'too short to be kept out of what the server says');
  const app = await buildApp({ config, parentEnv: process.env, logger, redactor });
  closeWithGrace({ delay: config.SHUTDOWN_SECONDS * 1000, logger }, async ({ signal, err }) => {
    if (err) logger.fatal({ err }, 'the server stops because of an error nobody caught');
    else logger.info({ signal }, 'the server stops');
    await app.close();
  });
  await app.listen({ host: config.HOST, port: config.PORT });
}

/** The settings that must not leave the server. */
function secretsOf(config: Config): [name: string, secret: string][] {
  const { API_KEY, GEMINI_API_KEY, GITHUB_TOKEN, GITHUB_APP_PRIVATE_KEY } = config;
  const settings = Object.entries({ API_KEY, GEMINI_API_KEY, GITHUB_TOKEN, GITHUB_APP_PRIVATE_KEY });
  // What comes after `Bearer` is a secret by itself.
  const headers = Object.values(config.OTEL_EXPORTER_OTLP_HEADERS)
    .flatMap((value) => value.split(' '))
    .filter((word) => word.length >= SHORTEST_SECRET)
    .map((word) => ['OTEL_EXPORTER_OTLP_HEADERS', word] as const);
  return [...settings, ...headers].flatMap(([name, secret]) => (secret === undefined ? [] : [[name, secret]]));
}

function configOrExit(): Config {
  try {
    return loadConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}

try {
  await main();
} catch (error) {
  console.error(redactor.text(`Pullwright could not start: ${error instanceof Error ? error.message : error}`));
  process.exit(1);
}
