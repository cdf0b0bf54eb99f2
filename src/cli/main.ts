import { CommandError } from './command-error.ts';
import { keysCommand } from './keys-command.ts';

const USAGE = `Usage: pullwright keys COMMAND

  keys create --name NAME --scope SCOPE... [--repository OWNER/REPO...] [--expires DAYS]
                       makes a key and prints it, this once
                       scopes: read chat plan dev metrics admin
  keys list            lists the keys
  keys revoke KEY_ID   revokes a key at once

Talks to a running server: PULLWRIGHT_URL (http://127.0.0.1:8000 when unset), with the key PULLWRIGHT_API_KEY.`;

/** The command line: what was asked for goes to stdout, all else to stderr. Exits 0, 1 when it failed, 2 for a usage. */
async function main([topic, ...args]: string[]): Promise<void> {
  const { PULLWRIGHT_URL: url = 'http://127.0.0.1:8000', PULLWRIGHT_API_KEY: apiKey } = process.env;
  if (topic === '--help' || topic === undefined) return console.log(USAGE);
  if (topic !== 'keys') throw new CommandError(`There is no command ${topic}.`, 2);
  for (const line of await keysCommand(args, { url, apiKey })) console.log(line);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof CommandError)) throw error;
  console.error(error.exitCode === 2 ? `${error.message}\n\n${USAGE}` : error.message);
  process.exitCode = error.exitCode;
}
