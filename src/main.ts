import closeWithGrace from 'close-with-grace';
import { pino } from 'pino';
import { buildApp } from './app.ts';
import { type Config, ConfigError, loadConfig } from './config/load-config.ts';

/** Starts the server from the environment and `.env`, and stops it gracefully on a signal; a second one forces it. */
async function main(): Promise<void> {
  const config = configOrExit();
  const logger = pino({
    level: config.LOG_LEVEL,
    redact: ['req.headers.authorization', 'req.headers["x-api-key"]'],
    ...(process.stdout.isTTY ? { transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname' } } } : {}),
  });
  const app = await buildApp({ config, parentEnv: process.env, logger });
  closeWithGrace({ delay: config.SHUTDOWN_SECONDS * 1000, logger }, async ({ signal, err }) => {
    if (err) logger.fatal({ err }, 'the server stops because of an error nobody caught');
    else logger.info({ signal }, 'the server stops');
    await app.close();
  });
  await app.listen({ host: config.HOST, port: config.PORT });
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
  console.error(`Pullwright could not start: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
