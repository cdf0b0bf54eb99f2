import { type Client, type RunEvent, type Schemas, unwrap } from '../../client/client.ts';
import { isTerminal } from '../../client/run-events.ts';
import { message } from './arguments.ts';
import { CommandError, EXIT } from './command-error.ts';
import { type Context, given, withServer } from './commands.ts';
import type { Connection } from './connect.ts';
import { line } from './printable.ts';
import { describeError } from './remedies.ts';
import type { Terminal } from './terminal.ts';

type Run = Schemas['Run'];

/** Starts a run with the message of the command line and follows it; a run that does not succeed is a CommandError. */
export async function startRun(
  action: Run['action'],
  ticketId: string,
  words: string[],
  options: { json?: boolean },
): Promise<void> {
  await withServer(options, async (context) => {
    await startAndFollow(context, ticketId, { action, ...given({ message: await message(words) }) });
  });
}

/**
 * Starts a run and shows its events until it has finished.
 * @throws CommandError when the run does not succeed
 */
export async function startAndFollow(
  context: Context,
  ticketId: string,
  request: { action: Run['action']; message?: string },
): Promise<void> {
  const { client } = context.connection;
  const run = await unwrap(
    client.POST('/v1/tickets/{ticket_id}/runs', { params: { path: { ticket_id: ticketId } }, body: request }),
  );
  if (run.queue_position !== undefined)
    context.terminal.progress(`Waiting in the queue at position ${run.queue_position}`);
  await followRun(context, run.run_id);
}

/**
 * Shows the events of a run as they arrive. Ctrl+C stops the command but not the run.
 * @throws CommandError when the run does not succeed, or on Ctrl+C
 */
export async function followRun({ terminal, connection, json }: Context, runId: string): Promise<void> {
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.once('SIGINT', interrupt);
  const show = json ? (event: RunEvent) => terminal.json(event) : createRunView(terminal);
  try {
    const stream = connection.client.runs.stream(runId, {
      signal: interrupted.signal,
      onConnection: ({ state }) => {
        if (state === 'lost') terminal.progress('Connection lost, reconnecting');
      },
    });
    for await (const event of stream) {
      show(event);
      checkOutcome(event);
    }
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    terminal.endLine();
    throw new CommandError(interruptedMessage(connection, runId), EXIT.interrupted);
  } finally {
    process.off('SIGINT', interrupt);
    terminal.stopSpinner();
  }
}

function interruptedMessage({ embedded }: Connection, runId: string): string {
  const follow = `pullwright logs -f ${runId}`;
  if (embedded) return `Interrupted. The run continues when a server starts again: ${follow}`;
  return `Interrupted; the run continues. Follow it: ${follow}   Cancel it: pullwright cancel ${runId}`;
}

/** Creates a function that shows events to a person: text of the agent on stdout, other events on stderr. */
export function createRunView(terminal: Terminal): (event: RunEvent) => void {
  return (event) => {
    if (event.type === 'message.delta') return terminal.write(event.data.text);
    const description = describe(event);
    if (description !== undefined) terminal.info(`  ${description}`, 'dim');
    const progress = PROGRESS[event.type];
    if (progress !== undefined) terminal.progress(progress);
    if (isTerminal(event)) terminal.endLine();
  };
}

const PROGRESS: Partial<Record<RunEvent['type'], string>> = {
  'run.queued': 'Waiting in the queue',
  'run.started': 'Starting the agent',
  'step.started': 'Working',
  'tool.started': 'Working',
  'thought.delta': 'Thinking',
};

/** Returns a line about an event; undefined for an event that people need not see. */
function describe(event: RunEvent): string | undefined {
  switch (event.type) {
    case 'run.started':
      return event.data.attempt > 1 ? `attempt ${event.data.attempt}` : undefined;
    case 'step.started':
      return event.data.step === 'agent' ? undefined : event.data.step.replace('_', ' ');
    case 'tool.started':
      return `[${event.data.kind ?? 'other'}] ${line(event.data.title ?? '')}`;
    case 'permission.requested':
      return [
        `the agent asks for permission: ${line(event.data.command ?? event.data.title)}`,
        `  answer until ${event.data.deadline}: pullwright permissions allow ${event.data.permission_id}   (or reject)`,
      ].join('\n  ');
    case 'permission.resolved':
      return `${event.data.decision === 'allow' ? 'allowed' : 'rejected'} by ${line(event.data.by)}`;
    case 'plan.saved':
      return `plan saved as version ${event.data.version}`;
    case 'commit.created':
      return `commit ${event.data.sha.slice(0, 12)} ${line(event.data.subject)}`;
    case 'branch.pushed':
      return `pushed ${line(event.data.ref)}`;
    case 'pull_request.opened':
      return `pull request opened: ${line(event.data.url)}`;
    case 'pull_request.updated':
      return `pull request updated: ${line(event.data.url)}`;
    case 'log':
      return event.data.level === 'debug' ? undefined : `${event.data.level}: ${line(event.data.text)}`;
    case 'run.succeeded': {
      const { usage, duration_ms } = event.data;
      return `done in ${(duration_ms / 1000).toFixed(1)} s; tokens: ${usage.input_tokens} in, ${usage.output_tokens} out`;
    }
    default:
      return undefined;
  }
}

function checkOutcome(event: RunEvent): void {
  const failure = failureOf(event);
  if (failure === undefined) return;
  throw new CommandError(failure, event.type === 'run.canceled' ? EXIT.canceled : EXIT.failed);
}

/** Describes why a run did not succeed; undefined for other events. */
export function failureOf(event: RunEvent): string | undefined {
  if (event.type === 'run.canceled') return 'The run was canceled.';
  if (event.type !== 'run.failed' && event.type !== 'run.timed_out') return undefined;
  return `The run failed: ${describeError(event.data.error)}`;
}

/**
 * Finds a run by its id, or the last run of a ticket.
 * @throws CommandError when the ticket has no run
 */
export async function findRun(client: Client, name: string): Promise<Run> {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name)) {
    return unwrap(client.GET('/v1/runs/{run_id}', { params: { path: { run_id: name } } }));
  }
  const { items } = await unwrap(
    client.GET('/v1/tickets/{ticket_id}/runs', { params: { path: { ticket_id: name }, query: { limit: 1 } } }),
  );
  const [last] = items;
  if (last === undefined) throw new CommandError(`Ticket ${name} has no run.`);
  return last;
}
