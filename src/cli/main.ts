import { Command, CommanderError } from 'commander';
import { PullwrightError } from '../../client/client.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { CommandError, EXIT } from './command-error.ts';
import { addCompletionCommand } from './completion.ts';
import { ServerUnreachable } from './connect.ts';
import { addKeysCommands } from './keys-command.ts';
import { addPlanCommands } from './plan-commands.ts';
import { line } from './printable.ts';
import { addRunCommands } from './run-commands.ts';
import { addServerCommands } from './server-commands.ts';
import { addTicketCommands } from './ticket-commands.ts';

const HELP = `
Commands talk to the server of PULLWRIGHT_URL with the key PULLWRIGHT_API_KEY. Without PULLWRIGHT_URL it is the one of this
folder's settings, started for the command when it does not run.

Exits 0, 1 when it failed, 2 for a wrong usage, 3 when the run was canceled, 4 when the key is missing or not enough,
130 when it was left with Ctrl+C.`;

/** The command line: what was asked for goes to stdout, all else to stderr. */
function program(): Command {
  const pullwright = new Command('pullwright')
    .description('Turns a ticket into a reviewed pull request with a coding agent.')
    .version(packageJson.version, '-V, --version')
    .showSuggestionAfterError()
    .showHelpAfterError('(pullwright --help shows what there is)')
    .addHelpText('after', HELP)
    .enablePositionalOptions()
    .exitOverride();
  addServerCommands(pullwright);
  addTicketCommands(pullwright);
  addPlanCommands(pullwright);
  addRunCommands(pullwright);
  addKeysCommands(pullwright);
  addCompletionCommand(pullwright);
  return pullwright;
}

/** @returns the exit code, when the error is one that a person can do something about */
function explain(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
  if (error instanceof CommandError) {
    console.error(line(error.message));
    return error.exitCode;
  }
  if (error instanceof PullwrightError) {
    console.error(line(`${error.message} ${error.remedy ?? ''}`.trim()));
    return error.status === 401 || error.status === 403 ? EXIT.refused : EXIT.failed;
  }
  if (error instanceof ServerUnreachable) {
    console.error(line(error.message));
    return EXIT.failed;
  }
  throw error;
}

// Whoever reads has all that was wanted, as `head` has: a run that is followed is left, as with Ctrl+C.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.emit('SIGINT');
});

try {
  await program().parseAsync();
} catch (error) {
  process.exitCode = explain(error);
}
