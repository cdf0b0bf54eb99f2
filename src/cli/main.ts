import { backupCommand, restoreCommand } from './backup-command.ts';
import type { ServerAccess } from './call-server.ts';
import { CommandError } from './command-error.ts';
import { keysCommand } from './keys-command.ts';

const USAGE = `Usage: pullwright COMMAND

  keys create --name NAME --scope SCOPE... [--repository OWNER/REPO...] [--expires DAYS]
                       makes a key and prints it, this once
                       scopes: read chat plan dev metrics admin
  keys list            lists the keys
  keys revoke KEY_ID   revokes a key at once
  backup FILE          writes all that the server keeps to FILE, a tar.gz, while it works; when no server answers,
                       from the folders DATA_DIR and TICKETS_ROOT
  restore FILE         puts it into the empty folders DATA_DIR and TICKETS_ROOT, before the server is started

Talks to a running server: PULLWRIGHT_URL (http://127.0.0.1:8000 when unset), with the key PULLWRIGHT_API_KEY.`;

/** The command line: what was asked for goes to stdout, all else to stderr. Exits 0, 1 when it failed, 2 for a usage. */
async function main([topic, ...args]: string[]): Promise<void> {
  const { PULLWRIGHT_URL: url = 'http://127.0.0.1:8000', PULLWRIGHT_API_KEY: apiKey } = process.env;
  if (topic === '--help' || topic === undefined) return console.log(USAGE);
  for (const line of await carryOut(topic, args, { url, apiKey })) console.log(line);
}

async function carryOut(topic: string, args: string[], server: ServerAccess): Promise<string[]> {
  if (topic === 'keys') return keysCommand(args, server);
  if (topic === 'backup') return backupCommand(args, server);
  if (topic === 'restore') return restoreCommand(args);
  throw new CommandError(`There is no command ${topic}.`, 2);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof CommandError)) throw error;
  console.error(error.exitCode === 2 ? `${error.message}\n\n${USAGE}` : error.message);
  process.exitCode = error.exitCode;
}
