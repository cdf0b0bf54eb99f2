import { type Command, Option } from 'commander';
import { type RunEvent, type Schemas, unwrap } from '../../client/client.ts';
import { positive } from './arguments.ts';
import { CommandError } from './command-error.ts';
import { type Context, command, given, paginate, printList, report, withServer } from './commands.ts';
import { createRunView, failureOf, findRun, followRun, startRun } from './follow-run.ts';
import { line } from './printable.ts';

type Run = Schemas['Run'];
type ListOptions = { limit: number; state?: Run['state'] };

const STATES: Run['state'][] = ['queued', 'running', 'waiting', 'succeeded', 'failed', 'canceled', 'timed_out'];

/** Adds `pullwright chat|dev|runs|logs|cancel`. */
export function addRunCommands(program: Command): void {
  command(
    program,
    'chat <ticket_id> <message...>',
    'ask the agent about the code; - reads the message from stdin',
  ).action((ticketId: string, words: string[], options) => startRun('chat', ticketId, words, options));

  command(program, 'dev <ticket_id> [message...]', 'implement the plan and open a pull request').action(
    (ticketId: string, words: string[], options) => startRun('dev', ticketId, words, options),
  );

  command(program, 'runs [ticket_id]', 'list runs, newest first')
    .option('--limit <number>', 'maximum number of runs', positive, 50)
    .addOption(new Option('--state <state>', 'only runs in this state').choices(STATES))
    .action((ticketId: string | undefined, options) =>
      withServer(options, (context) => listRuns(context, ticketId, options)),
    );

  command(program, 'logs <run_or_ticket>', 'show the events of a run, or of the last run of a ticket')
    .option('-f, --follow', 'continue until the run has finished')
    .action((name: string, options) => withServer(options, (context) => showLogs(context, name, options)));

  command(program, 'cancel <run_or_ticket>', 'cancel a run, or the last run of a ticket').action(
    (name: string, options) => withServer(options, (context) => cancelRun(context, name)),
  );
}

async function listRuns(context: Context, ticket_id: string | undefined, options: ListOptions): Promise<void> {
  const { client } = context.connection;
  const filter = given({ state: options.state });
  const runs = paginate<Run>(options.limit, (cursor) => {
    const query = { ...cursor, ...filter };
    return ticket_id === undefined
      ? unwrap(client.GET('/v1/runs', { params: { query } }))
      : unwrap(client.GET('/v1/tickets/{ticket_id}/runs', { params: { path: { ticket_id }, query } }));
  });
  await printList(context, runs, (run) => [run.run_id, run.ticket_id, run.action, run.state, run.created_at]);
}

async function showLogs(context: Context, name: string, { follow = false }: { follow?: boolean }): Promise<void> {
  const { terminal, connection, json } = context;
  const { run_id } = await findRun(connection.client, name);
  if (follow) return followRun(context, run_id);
  const show = json ? (event: RunEvent) => terminal.json(event) : createRunView(terminal);
  for await (const event of readEvents(context, run_id)) {
    show(event);
    const failure = json ? undefined : failureOf(event);
    if (failure !== undefined) terminal.info(line(failure), 'red');
  }
  terminal.endLine();
}

/** Yields the events that a run has so far. */
async function* readEvents({ connection }: Context, run_id: string): AsyncGenerator<RunEvent> {
  for (let after = 0; ; ) {
    const page = await unwrap(
      connection.client.GET('/v1/runs/{run_id}/events', {
        params: { path: { run_id }, query: { after } },
        headers: { accept: 'application/json' },
      }),
    );
    if (page === undefined || page.items.length === 0) return;
    yield* page.items;
    after = page.next_after;
  }
}

async function cancelRun(context: Context, name: string): Promise<void> {
  const { client } = context.connection;
  const { run_id, finished_at, state } = await findRun(client, name);
  if (finished_at !== undefined) throw new CommandError(`Run ${run_id} has finished already: ${state}.`);
  const run = await unwrap(client.POST('/v1/runs/{run_id}/cancel', { params: { path: { run_id } } }));
  report(context, run, `Canceling run ${run_id}.`);
}
