import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { type Client, PullwrightError, type Schemas, unwrap } from '../../client/client.ts';
import { message, positive } from './arguments.ts';
import { CommandError } from './command-error.ts';
import { type Context, command, given, paginate, withServer } from './commands.ts';
import { ServerUnreachable } from './connect.ts';
import { line } from './printable.ts';
import type { Terminal } from './terminal.ts';

type Ticket = Schemas['Ticket'];

const POLL_INTERVAL_MS = 1000;

/** `pullwright ticket create|list|show|delete|sync`. */
export function addTicketCommands(program: Command): void {
  const ticket = program.command('ticket').summary('create, list, show, sync and delete tickets');

  command(ticket, 'create <ticket_id> <repo_url>', 'check a repository out for a ticket')
    .option('--title <text>', 'what is to be done, in a line')
    .option('--description <text>', 'all that there is to say; - reads it from stdin')
    .option('--base <branch>', 'the branch to start from, instead of the default one')
    .action(async (ticket_id: string, repo_url: string, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const { title, base: base_branch } = options;
        const description = await message(options.description === undefined ? [] : [options.description]);
        const made = await createTicket(terminal, client, {
          ticket_id,
          repo_url,
          ...given({ title, description, base_branch }),
        });
        if (json) return terminal.json(made);
        terminal.print(made.ticket_id);
        terminal.info(`Checked out on branch ${made.branch}, from ${made.base_branch}.`);
      }),
    );

  command(ticket, 'list', 'list tickets, newest first')
    .option('--limit <number>', 'how many at most', positive, 50)
    .action(async (options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const page = (query: { limit: number; cursor?: string }) =>
          unwrap(client.GET('/v1/tickets', { params: { query } }));
        for await (const item of paginate<Ticket>(options.limit, page)) {
          if (json) terminal.json(item);
          else terminal.print(columns(item).map(line).join('\t'));
        }
      }),
    );

  command(ticket, 'show <ticket_id>', 'show a ticket').action(async (ticketId: string, options) =>
    withServer(options, async (context) => {
      const shown = await ticketOf(context, ticketId);
      if (context.json) context.terminal.json(shown);
      else context.terminal.print(description(shown));
    }),
  );

  command(ticket, 'sync <ticket_id>', 'bring the base branch into the branch of a ticket').action(
    async (ticket_id: string, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        terminal.progress('Fetching');
        const synced = await unwrap(client.POST('/v1/tickets/{ticket_id}/sync', { params: { path: { ticket_id } } }));
        if (json) terminal.json(synced);
        else terminal.info(`${ticket_id} is up to date with its base branch.`);
      }),
  );

  command(ticket, 'delete <ticket_id>', 'delete a ticket; its branch on the remote stays')
    .option('--force', 'also work that was not pushed, and runs under way')
    .action(async (ticket_id: string, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const query = { force: options.force === true };
        await unwrap(client.DELETE('/v1/tickets/{ticket_id}', { params: { path: { ticket_id }, query } }));
        if (json) terminal.json({ ticket_id, deleted: true });
        else terminal.info(`${ticket_id} is deleted.`);
      }),
    );

  command(program, 'pr <ticket_id>', 'print the address of the pull request').action(
    async (ticketId: string, options) =>
      withServer(options, async (context) => {
        const { pull_request } = await ticketOf(context, ticketId);
        if (pull_request === undefined) {
          throw new CommandError(`${ticketId} has no pull request yet. Make one: pullwright dev ${ticketId}`);
        }
        if (context.json) context.terminal.json(pull_request);
        else context.terminal.print(line(pull_request.url));
      }),
  );

  command(program, 'diff <ticket_id>', 'print what the branch of a ticket changes').action(
    async (ticket_id: string, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const diff = await unwrap(client.GET('/v1/tickets/{ticket_id}/diff', { params: { path: { ticket_id } } }));
        if (json) return terminal.json(diff);
        printPatch(terminal, diff.patch);
        if (diff.truncated) terminal.info('The changes are larger than what is shown.', 'yellow');
      }),
  );
}

/** Creates a ticket; on a terminal, with how far its checkout is. */
async function createTicket(terminal: Terminal, client: Client, request: Schemas['CreateTicket']) {
  const created = new AbortController();
  const wait = (far = '') => terminal.progress(`Checking ${request.repo_url} out${far}`);
  async function watch(): Promise<void> {
    for await (const { type, data } of client.changes.stream({ signal: created.signal })) {
      if (type !== 'ticket.created' && type !== 'ticket.updated') continue;
      if (data.ticket_id !== request.ticket_id || data.progress === undefined) continue;
      wait(`: ${data.progress.stage} ${data.progress.percent} %`);
    }
  }
  wait();
  // Whether the watching succeeds is nothing to the creation, which tells what is wrong.
  if (terminal.showsProgress) watch().catch(() => {});
  try {
    return await unwrap(client.POST('/v1/tickets', { body: request }));
  } catch (error) {
    if (error instanceof ServerUnreachable && error.isTimeout) return await waitUntilReady(client, request.ticket_id);
    throw error;
  } finally {
    created.abort();
  }
}

/** Asks for a ticket until it is created: a large checkout can take longer than one request may. */
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
      throw new CommandError(`${ticket_id} was not created. The log of the server says why.`);
    }
    await pause(POLL_INTERVAL_MS);
  }
}

/** @throws PullwrightError when there is none */
export async function ticketOf({ connection: { client } }: Context, ticket_id: string): Promise<Ticket> {
  return unwrap(client.GET('/v1/tickets/{ticket_id}', { params: { path: { ticket_id } } }));
}

/** A unified diff as data, with color on a terminal. */
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
