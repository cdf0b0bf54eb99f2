import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, createClient } from '../../client/client.ts';
import { type Config, ConfigError, loadConfig } from '../config/load-config.ts';
import { STORE_FILE } from '../store/store-file.ts';
import { CommandError } from './command-error.ts';
import type { Terminal } from './terminal.ts';

const DEFAULT_URL = 'http://127.0.0.1:8000';
const HEADERS_TIMEOUT = 'UND_ERR_HEADERS_TIMEOUT';

export type Connection = {
  url: string;
  client: Client;
  /** Whether the server runs in this process and stops with it. */
  embedded: boolean;
  close(): Promise<void>;
};

export type Address = {
  url: string;
  apiKey: string | undefined;
  /** The settings of the server on this machine; `undefined` with PULLWRIGHT_URL. */
  config: Config | undefined;
};

/**
 * Returns the address and the key of the server: PULLWRIGHT_URL, or else this machine at PORT of the settings.
 * @throws CommandError when the URL or the settings are not valid
 */
export function serverAddress(): Address {
  const { PULLWRIGHT_URL, PULLWRIGHT_API_KEY: apiKey } = process.env;
  if (PULLWRIGHT_URL !== undefined && PULLWRIGHT_URL !== '') {
    return { url: checkUrl(PULLWRIGHT_URL), apiKey, config: undefined };
  }
  const config = settings();
  const url = config.PORT === 0 ? DEFAULT_URL : `http://127.0.0.1:${config.PORT}`;
  return { url, apiKey: apiKey ?? config.API_KEY, config };
}

/**
 * Connects to the server at `serverAddress`. If none answers and the folder has settings or data, starts a server in this process.
 * @throws CommandError when there is no server
 */
export async function connect(terminal: Terminal): Promise<Connection> {
  const { url, apiKey, config } = serverAddress();
  if (config === undefined || (await isServing(url))) return remote(url, apiKey);
  if (!existsSync('.env') && !existsSync(join(config.DATA_DIR, STORE_FILE))) {
    throw new CommandError(
      `No server answers at ${url}. Set PULLWRIGHT_URL, or start one: pullwright init, then pullwright serve.`,
    );
  }
  terminal.info(`No server answers at ${url}; starting one for this command.`, 'dim');
  return embed(config, process.env, apiKey);
}

/** Starts a server in this process, on a free port of loopback. */
export async function embed(
  config: Config,
  parentEnv: Readonly<Record<string, string | undefined>>,
  apiKey = config.API_KEY,
): Promise<Connection> {
  // Imported here, since most commands need no server of their own.
  const { createServer } = await import('../create-server.ts');
  try {
    const app = await createServer({
      config: { ...config, HOST: '127.0.0.1', PORT: 0, LOG_LEVEL: 'error' },
      parentEnv,
      log: process.stderr,
    });
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const close = async () => app.close();
    return { url, client: clientOf(url, apiKey), embedded: true, close };
  } catch (error) {
    throw new CommandError(`The server failed to start: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * Loads the settings from the environment and `.env`.
 * @throws CommandError that lists the settings that are not valid
 */
export function settings(): Config {
  try {
    return loadConfig(process.env);
  } catch (error) {
    if (error instanceof ConfigError) throw new CommandError(error.message);
    throw error;
  }
}

function remote(url: string, apiKey: string | undefined): Connection {
  return { url, client: clientOf(url, apiKey), embedded: false, close: async () => {} };
}

function clientOf(baseUrl: string, apiKey: string | undefined): Client {
  const failed = (error: unknown): never => {
    // The command itself aborted the request.
    if (!(error instanceof TypeError)) throw error;
    throw new ServerUnreachable(baseUrl, error.cause);
  };
  const key = apiKey === undefined || apiKey === '' ? {} : { apiKey };
  return createClient({ baseUrl, ...key, fetch: (input, init) => fetch(input, init).catch(failed) });
}

/** A failed connection. A TypeError, as `fetch` throws it, so that streams reconnect. */
export class ServerUnreachable extends TypeError {
  /** Code of the connection error, such as `ECONNREFUSED`. */
  readonly code: string | undefined;

  constructor(url: string, cause: unknown) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
    super(describeFailure(url, code, cause), { cause });
    this.code = code;
  }

  /** Returns whether `fetch` timed out, after five minutes without an answer. The server may still work on the request. */
  get isTimeout(): boolean {
    return this.code === HEADERS_TIMEOUT;
  }
}

function describeFailure(url: string, code: string | undefined, cause: unknown): string {
  if (code === HEADERS_TIMEOUT)
    return `The server at ${url} has not answered for five minutes. It may still work on the request.`;
  if (code === undefined || code === 'ECONNREFUSED' || !(cause instanceof Error)) {
    return `No server answers at ${url}. Start it with pullwright serve, or set PULLWRIGHT_URL.`;
  }
  return `The connection to ${url} failed: ${cause.message}.`;
}

async function isServing(url: string): Promise<boolean> {
  return fetch(new URL('/livez', url)).then(
    (response) => response.ok,
    () => false,
  );
}

/** @throws CommandError when PULLWRIGHT_URL is not an http or https URL */
function checkUrl(url: string): string {
  if (URL.canParse(url) && /^https?:/.test(url)) return url;
  throw new CommandError(`PULLWRIGHT_URL is ${JSON.stringify(url)}, which is not an http or https URL.`);
}
