// The server with the benchmark agent.
import { pino } from 'pino';
import { buildApp } from '../src/app.ts';
import { loadConfig } from '../src/config/load-config.ts';
import { createRedactor } from '../src/redaction/redactor.ts';
import { definition } from './agent-definition.ts';

const config = loadConfig(process.env);
const redactor = createRedactor([config.GEMINI_API_KEY, config.GITHUB_TOKEN]);
const logger = pino({ level: config.LOG_LEVEL, hooks: { streamWrite: redactor.json } });
const app = await buildApp({ config, parentEnv: process.env, logger, redactor, agents: [definition] });
process.once('SIGTERM', () => void app.close().then(() => process.exit(0)));
await app.listen({ host: config.HOST, port: config.PORT });
