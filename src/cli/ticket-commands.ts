import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { type Client, PullwrightError, type Schemas, unwrap } from '../../client/client.ts';
import { message, positive } from './arguments.ts';
import { CommandError } from './command-error.ts';
import { type Context, command, given, paginate, printList, report, withServer } from './commands.ts';
import { ServerUnreachable } from './connect.ts';
import { line } from './printable.ts';
import type { Terminal } from './terminal.ts';

type Ticket = Schemas['Ticket'];

const POLL_INTERVAL_MS = 1000;

/** Adds `pullwright ticket create|list|show|delete|sync`, `pr` and `diff`. */
export function addTicketCommands(program: Command): void {
  const ticket = program.command('ticket').summary('create, list, show, sync and delete tickets');

  command(ticket, 'create <ticket_id> <repo_url>', 'create a ticket and check out its repository')
    .option('--title <text>', 'task in one line')
    .option('--description <text>', 'task in full; - reads it from stdin')
    .option('--base <branch>', 'base branch, instead of the default branch')
    .action(async (ticket_id: string, repo_url: string, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const { title, base: base_branch } = options;
        const description = await message(options.description === undefined ? [] : [options.description]);
        const created = await createTicket(terminal, client, {
          ticket_id,
          repo_url,
          ...given({ title, description, base_branch }),
        });
        if (json) return terminal.json(created);
        terminal.print(created.ticket_id);
        terminal.info(`Checked out on branch ${created.branch}, from ${created.base_branch}.`);
      }),
    );

  command(ticket, 'list', 'list tickets, newest first')
    .option('--limit <number>', 'maximum number of tickets', positive, 50)
    .action(async (options) =>
      withServer(options, async (context) => {
        const { client } = context.connection;
        const tickets = paginate<Ticket>(options.limit, (query) =>
          unwrap(client.GET('/v1/tickets', { params: { query } })),
        );
        await printList(context, tickets, columns);
      }),
    );

  command(ticket, 'show <ticket_id>', 'show a ticket').action(async (ticketId: string, options) =>
    withServer(options, async (context) => {
      const shown = await ticketOf(context, ticketId);
      if (context.json) context.terminal.json(shown);
      else context.terminal.print(description(shown));
    }),
  );

  command(ticket, 'sync <ticket_id>', 'merge the base branch into the branch of a ticket').action(
    async (ticket_id: string, options) =>
      withServer(options, async (context) => {
        const { terminal, connection } = context;
        terminal.progress('Fetching');
        const params = { path: { ticket_id } };
        const synced = await unwrap(connection.client.POST('/v1/tickets/{ticket_id}/sync', { params }));
        report(context, synced, `${ticket_id} is up to date with its base branch.`);
      }),
  );

  command(ticket, 'delete <ticket_id>', 'delete a ticket; its branch on the remote stays')
    .option('--force', 'also delete unpushed work and cancel running runs')
    .action(async (ticket_id: string, options) =>
      withServer(options, async (context) => {
        const params = { path: { ticket_id }, query: { force: options.force === true } };
        await unwrap(context.connection.client.DELETE('/v1/tickets/{ticket_id}', { params }));
        report(context, { ticket_id, deleted: true }, `Deleted ${ticket_id}.`);
      }),
    );

  command(program, 'pr <ticket_id>', 'print the URL of the pull request').action(async (ticketId: string, options) =>
    withServer(options, async (context) => {
      const { pull_request } = await ticketOf(context, ticketId);
      if (pull_request === undefined) {
        throw new CommandError(`${ticketId} has no pull request yet. Open one: pullwright dev ${ticketId}`);
      }
      if (context.json) context.terminal.json(pull_request);
      else context.terminal.print(line(pull_request.url));
    }),
  );

  command(program, 'diff <ticket_id>', 'print the changes of a ticket as a diff').action(
    async (ticket_id: string, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const diff = await unwrap(client.GET('/v1/tickets/{ticket_id}/diff', { params: { path: { ticket_id } } }));
        if (json) return terminal.json(diff);
        printPatch(terminal, diff.patch);
        if (diff.truncated) terminal.info('The diff is cut; it is too large to show in full.', 'yellow');
      }),
  );
}

/** Creates a ticket, and shows the progress of the checkout on a terminal. */
async function createTicket(terminal: Terminal, client: Client, request: Schemas['CreateTicket']) {
  const done = new AbortController();
  const report = (progress = '') => terminal.progress(`Checking out ${request.repo_url}${progress}`);
  async function reportProgress(): Promise<void> {
    for await (const { type, data } of client.changes.stream({ signal: done.signal })) {
      if (type !== 'ticket.created' && type !== 'ticket.updated') continue;
      if (data.ticket_id !== request.ticket_id || data.progress === undefined) continue;
      report(`: ${data.progress.stage} ${data.progress.percent} %`);
    }
  }
  report();
  // A failure of the stream does not matter: the request reports errors.
  if (terminal.showsProgress) reportProgress().catch(() => {});
  try {
    return await unwrap(client.POST('/v1/tickets', { body: request }));
  } catch (error) {
    if (error instanceof ServerUnreachable && error.isTimeout) return await waitUntilReady(client, request.ticket_id);
    throw error;
  } finally {
    done.abort();
  }
}

/** Polls until the ticket is ready: a large checkout can take longer than the timeout of a request. */
async function waitUntilReady(client: Client, ticket_id: string): Promise<Ticket> {
  for (;;) {
    const ticket = await unwrap(client.GET('/v1/tickets/{ticket_id}', { params: { path: { ticket_id } } })).catch(
      (error) => {
        if (error instanceof PullwrightError && error.code === 'ticket_not_found') return undefined;
        throw error;
      },
    );
    if (ticket?.state === 'ready') return ticket;
    if (ticket?.state !== 'creating') {
      throw new CommandError(`${ticket_id} was not created. The log of the server has the reason.`);
    }
    await pause(POLL_INTERVAL_MS);
  }
}

/** @throws PullwrightError `ticket_not_found` */
export async function ticketOf({ connection: { client } }: Context, ticket_id: string): Promise<Ticket> {
  return unwrap(client.GET('/v1/tickets/{ticket_id}', { params: { path: { ticket_id } } }));
}

/** Prints a unified diff, on a terminal in color. */
export function printPatch(terminal: Terminal, patch: string): void {
  if (patch === '') return;
  for (const text of patch.replace(/\n$/, '').split('\n')) terminal.colored(colorOf(text), text);
}

function columns({ ticket_id, last_run, repo_url, pull_request, title }: Ticket): string[] {
  const run = last_run === undefined ? '-' : `${last_run.action} ${last_run.state}`;
  return [ticket_id, run, repo_url, pull_request?.url ?? '-', title ?? '-'];
}

function description(ticket: Ticket): string {
  const { last_run, pull_request } = ticket;
  const rows: [string, string | undefined][] = [
    ['ticket', ticket.ticket_id],
    ['title', ticket.title],
    ['repository', ticket.repo_url],
    ['branch', `${ticket.branch}, from ${ticket.base_branch}`],
    ['state', ticket.state],
    ['plan', ticket.plan_version === undefined ? undefined : `version ${ticket.plan_version}`],
    ['last run', last_run && `${last_run.action} ${last_run.state} ${last_run.run_id}`],
    ['pull request', pull_request?.url],
  ];
  const lines = rows.flatMap(([name, value]) => (value === undefined ? [] : [`${name.padEnd(14)}${line(value)}`]));
  return [...lines, ...(ticket.description === undefined ? [] : ['', ticket.description])].join('\n');
}

function colorOf(text: string): 'green' | 'red' | 'cyan' | 'reset' {
  if (text.startsWith('@@')) return 'cyan';
  if (text.startsWith('+')) return 'green';
  return text.startsWith('-') ? 'red' : 'reset';
}
