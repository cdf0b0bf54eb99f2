import { Command, CommanderError } from 'commander';
import { PullwrightError } from '../../client/client.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { CommandError, EXIT } from './command-error.ts';
import { addCompletionCommand } from './completion.ts';
import { ServerUnreachable } from './connect.ts';
import { addKeysCommands } from './keys-command.ts';
import { addPermissionCommands } from './permission-commands.ts';
import { addPlanCommands } from './plan-commands.ts';
import { line } from './printable.ts';
import { describeError } from './remedies.ts';
import { addRunCommands } from './run-commands.ts';
import { addServerCommands } from './server-commands.ts';
import { addTicketCommands } from './ticket-commands.ts';

const HELP = `
Commands use the server at PULLWRIGHT_URL with the key PULLWRIGHT_API_KEY. Without PULLWRIGHT_URL, they use the server on this
machine at PORT of the settings. If it is not running, the command starts one for itself.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 the run was canceled, 4 the key is missing or lacks a right,
130 interrupted with Ctrl+C.`;

/** Creates the command line. Results go to stdout, all other output to stderr. */
function program(): Command {
  const pullwright = new Command('pullwright')
    .description('Turns a ticket into a pull request with a coding agent.')
    .version(packageJson.version, '-V, --version')
    .showSuggestionAfterError()
    .showHelpAfterError('(pullwright --help lists the commands)')
    .addHelpText('after', HELP)
    .enablePositionalOptions()
    .exitOverride();
  addServerCommands(pullwright);
  addTicketCommands(pullwright);
  addPlanCommands(pullwright);
  addRunCommands(pullwright);
  addPermissionCommands(pullwright);
  addKeysCommands(pullwright);
  addCompletionCommand(pullwright);
  return pullwright;
}

/** Prints an error that a person can fix and returns the exit code; throws all other errors. */
function reportError(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
  if (error instanceof CommandError) {
    console.error(line(error.message));
    return error.exitCode;
  }
  if (error instanceof PullwrightError) {
    const { code, message: detail, remedy } = error;
    console.error(line(describeError({ code, detail, remedy })));
    return error.status === 401 || error.status === 403 ? EXIT.refused : EXIT.failed;
  }
  if (error instanceof ServerUnreachable) {
    console.error(line(error.message));
    return EXIT.failed;
  }
  throw error;
}

// A reader such as `head` closes the pipe early: stop following a run, as on Ctrl+C.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.emit('SIGINT');
});

try {
  await program().parseAsync();
} catch (error) {
  process.exitCode = reportError(error);
}
