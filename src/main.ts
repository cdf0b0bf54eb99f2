import closeWithGrace from 'close-with-grace';
import { type Config, ConfigError, loadConfig } from './config/load-config.ts';
import { createServer } from './create-server.ts';
import { createRedactor } from './redaction/redactor.ts';

const redactor = createRedactor();

/** Starts the server with the environment and `.env`. A signal stops it gracefully, a second one at once. */
async function main(): Promise<void> {
  const config = configOrExit();
  const app = await createServer({ config, parentEnv: process.env, redactor });
  const logger = app.log;
  closeWithGrace({ delay: config.SHUTDOWN_SECONDS * 1000, logger }, async ({ signal, err }) => {
    if (err) logger.fatal({ err }, 'stopping after an uncaught error');
    else logger.info({ signal }, 'server stopping');
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
  console.error(redactor.text(`Pullwright could not start: ${error instanceof Error ? error.message : error}`));
  process.exit(1);
}
