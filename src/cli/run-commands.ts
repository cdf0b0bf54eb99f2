import { type Command, Option } from 'commander';
import { type RunEvent, type Schemas, unwrap } from '../../client/client.ts';
import { message, positive } from './arguments.ts';
import { CommandError, EXIT } from './command-error.ts';
import { command, given, paginate, withServer } from './commands.ts';
import { createRunView, failureOf, findRun, followRun, startAndFollow } from './follow-run.ts';
import { line } from './printable.ts';

type Run = Schemas['Run'];

const STATES = ['queued', 'running', 'waiting', 'succeeded', 'failed', 'canceled', 'timed_out'];

/** `pullwright chat|dev|runs|logs|cancel`. */
export function addRunCommands(program: Command): void {
  command(
    program,
    'chat <ticket_id> <message...>',
    'ask the agent about the code; - reads the message from stdin',
  ).action(async (ticketId: string, words: string[], options) =>
    withServer(options, async (context) => {
      const text = await message(words);
      await startAndFollow(context, ticketId, { action: 'chat', ...given({ message: text }) });
    }),
  );

  command(program, 'dev <ticket_id> [message...]', 'carry the plan out, up to the pull request').action(
    async (ticketId: string, words: string[], options) =>
      withServer(options, async (context) => {
        const text = await message(words);
        await startAndFollow(context, ticketId, { action: 'dev', ...given({ message: text }) });
      }),
  );

  command(program, 'runs [ticket_id]', 'list runs, newest first')
    .option('--limit <number>', 'how many at most', positive, 50)
    .addOption(new Option('--state <state>', 'those in this state').choices(STATES))
    .action(async (ticket_id: string | undefined, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const filter = given({ state: options.state });
        const page = (query: { limit: number; cursor?: string }) =>
          ticket_id === undefined
            ? unwrap(client.GET('/v1/runs', { params: { query: { ...query, ...filter } } }))
            : unwrap(
                client.GET('/v1/tickets/{ticket_id}/runs', {
                  params: { path: { ticket_id }, query: { ...query, ...filter } },
                }),
              );
        for await (const run of paginate<Run>(options.limit, page)) {
          if (json) terminal.json(run);
          else terminal.print([run.run_id, run.ticket_id, run.action, run.state, run.created_at].join('\t'));
        }
      }),
    );

  command(program, 'logs <run_or_ticket>', 'show what a run did; of a ticket, its last one')
    .option('-f, --follow', 'go on until the run has ended')
    .action(async (name: string, options) =>
      withServer(options, async (context) => {
        const { terminal, connection } = context;
        const { run_id } = await findRun(connection.client, name);
        if (options.follow) return followRun(context, run_id);
        const show = context.json ? (event: RunEvent) => terminal.json(event) : createRunView(terminal);
        let after = 0;
        for (;;) {
          const page = await unwrap(
            connection.client.GET('/v1/runs/{run_id}/events', {
              params: { path: { run_id }, query: { after } },
              headers: { accept: 'application/json' },
            }),
          );
          if (page === undefined || page.items.length === 0) break;
          for (const event of page.items) {
            show(event);
            const what = context.json ? undefined : failureOf(event);
            if (what !== undefined) terminal.info(line(what), 'red');
          }
          after = page.next_after;
        }
        terminal.endLine();
      }),
    );

  command(program, 'cancel <run_or_ticket>', 'cancel a run; of a ticket, its last one').action(
    async (name: string, options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const { run_id, finished_at, state } = await findRun(client, name);
        if (finished_at !== undefined)
          throw new CommandError(`Run ${run_id} has ended already: ${state}.`, EXIT.failed);
        const run = await unwrap(client.POST('/v1/runs/{run_id}/cancel', { params: { path: { run_id } } }));
        if (json) terminal.json(run);
        else terminal.info(`Run ${run_id} is being canceled.`);
      }),
  );

  const permissions = program.command('permissions').summary('see and answer what agents ask');
  command(permissions, 'list', 'list what agents wait for').action(async (options) =>
    withServer(options, async ({ terminal, connection: { client }, json }) => {
      const page = (query: { limit: number; cursor?: string }) =>
        unwrap(client.GET('/v1/permissions', { params: { query } }));
      for await (const item of paginate<Schemas['Permission']>(1000, page)) {
        if (json) terminal.json(item);
        else {
          const { permission_id, ticket_id, kind, title, command: asked, deadline } = item;
          terminal.print([permission_id, ticket_id, kind, deadline, line(asked ?? title)].join('\t'));
        }
      }
    }),
  );
  for (const decision of ['allow', 'reject'] as const) {
    command(permissions, `${decision} <permission_id>`, `${decision} what an agent asks for`).action(
      async (permission_id: string, options) =>
        withServer(options, async ({ terminal, connection: { client }, json }) => {
          const page = (query: { limit: number; cursor?: string }) =>
            unwrap(client.GET('/v1/permissions', { params: { query } }));
          let run_id: string | undefined;
          for await (const item of paginate<Schemas['Permission']>(1000, page)) {
            if (item.permission_id === permission_id) run_id = item.run_id;
          }
          if (run_id === undefined) throw new CommandError(`No agent waits for permission ${permission_id}.`);
          const answered = await unwrap(
            client.POST('/v1/runs/{run_id}/permissions/{permission_id}', {
              params: { path: { run_id, permission_id } },
              body: { decision },
            }),
          );
          if (json) terminal.json(answered);
          else terminal.info(decision === 'allow' ? 'Allowed.' : 'Rejected.');
        }),
    );
  }
}
