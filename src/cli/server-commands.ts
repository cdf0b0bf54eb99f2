import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import { CommandError } from './command-error.ts';
import { command, given, withServer } from './commands.ts';
import { ticketOf } from './ticket-commands.ts';

/** Adds `pullwright serve|demo|init|doctor|backup|restore|open`. */
export function addServerCommands(program: Command): void {
  program
    .command('serve')
    .summary('start the server')
    .description('Starts the server with the settings of the environment and .env.')
    .action(async () => {
      await import('../main.ts');
    });

  command(program, 'demo', 'show the way from ticket to pull request, without any key').action(
    async ({ json = false }) => {
      const { demo } = await import('./demo.ts');
      await demo(json);
    },
  );

  command(program, 'init', 'ask for settings and write .env').action(async (options) => {
    const { init } = await import('./init.ts');
    await init(options);
  });

  command(program, 'doctor', 'check the set-up and name the fix for each problem')
    .option('--repo <url>', 'also check that the token can push to this repository')
    .action(async (options) => {
      const { doctor } = await import('./doctor/doctor.ts');
      await doctor({ ...given({ repo: options.repo }), json: options.json === true });
    });

  command(program, 'backup <file>', 'write a backup of the server to a tar.gz').action(
    async (file: string, { json = false }) => {
      const { backup } = await import('./backup-command.ts');
      await backup(file, json);
    },
  );

  command(program, 'restore <file>', 'restore a backup into the empty folders DATA_DIR and TICKETS_ROOT').action(
    async (file: string, { json = false }) => {
      const { restore } = await import('./backup-command.ts');
      await restore(file, json);
    },
  );

  command(program, 'open <ticket_id>', 'open the page of a ticket in the browser')
    .option('--pr', 'open its pull request instead')
    .action(async (ticketId: string, options) =>
      withServer(options, async (context) => {
        const { terminal, connection, json } = context;
        if (connection.embedded) throw new CommandError('The page needs a running server: pullwright serve.');
        const ticket = await ticketOf(context, ticketId);
        const page = new URL(`/dashboard/tickets/${encodeURIComponent(ticket.ticket_id)}`, connection.url).href;
        const url = options.pr ? (ticket.pull_request?.url ?? page) : page;
        if (json) return terminal.json({ url });
        terminal.print(url);
        if (terminal.isInteractive) openInBrowser(url);
      }),
    );
}

/** Opens a browser; does nothing where there is none. */
function openInBrowser(url: string): void {
  const opener = process.platform === 'darwin' ? 'open' : 'xdg-open';
  spawn(opener, [url], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref();
}
