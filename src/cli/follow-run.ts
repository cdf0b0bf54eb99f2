import { type Client, type RunEvent, type Schemas, unwrap } from '../../client/client.ts';
import { CommandError, EXIT } from './command-error.ts';
import type { Context } from './commands.ts';
import type { Connection } from './connect.ts';
import { line } from './printable.ts';
import type { Terminal } from './terminal.ts';

type Run = Schemas['Run'];

/**
 * Starts a run and shows it until it has ended.
 * @throws CommandError when it does not succeed
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
    context.terminal.progress(`Waiting in the queue at place ${run.queue_position}`);
  await followRun(context, run.run_id);
}

/**
 * Shows what a run does as it does it. The first Ctrl+C leaves it to itself.
 * @throws CommandError when the run does not succeed, or is left
 */
export async function followRun({ terminal, connection, json }: Context, runId: string): Promise<void> {
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  process.once('SIGINT', leave);
  const show = json ? (event: RunEvent) => terminal.json(event) : createRunView(terminal);
  try {
    const stream = connection.client.runs.stream(runId, {
      signal: leaving.signal,
      onConnection: ({ state }) => {
        if (state === 'lost') terminal.progress('The connection is lost; trying again');
      },
    });
    for await (const event of stream) {
      show(event);
      checkEnd(event);
    }
  } catch (error) {
    if (!leaving.signal.aborted) throw error;
    terminal.endLine();
    throw new CommandError(interruptedMessage(connection, runId), EXIT.interrupted);
  } finally {
    process.off('SIGINT', leave);
    terminal.stopSpinner();
  }
}

function interruptedMessage({ embedded }: Connection, runId: string): string {
  if (embedded)
    return `Left. The run stops with this server and goes on with the next one: pullwright logs -f ${runId}`;
  return `Left; the run goes on. See it: pullwright logs -f ${runId}   Cancel it: pullwright cancel ${runId}`;
}

/** What a person sees of a run: the agent's words as data, all else as talk beside them. */
export function createRunView(terminal: Terminal): (event: RunEvent) => void {
  return (event) => {
    if (event.type === 'message.delta') return terminal.write(event.data.text);
    const told = describe(event);
    if (told !== undefined) terminal.info(`  ${told}`, 'dim');
    const pause = WAITING[event.type];
    if (pause !== undefined) terminal.progress(pause);
    if (isEnd(event)) terminal.endLine();
  };
}

const WAITING: Partial<Record<RunEvent['type'], string>> = {
  'run.queued': 'Waiting in the queue',
  'run.started': 'The agent begins',
  'step.started': 'Working',
  'tool.started': 'Working',
  'thought.delta': 'Thinking',
};

/** One line about an event, where there is something to say. */
export function describe(event: RunEvent): string | undefined {
  switch (event.type) {
    case 'run.started':
      return event.data.attempt > 1 ? `attempt ${event.data.attempt}` : undefined;
    case 'step.started':
      return event.data.step === 'agent' ? undefined : event.data.step.replace('_', ' ');
    case 'tool.started':
      return `[${event.data.kind ?? 'other'}] ${line(event.data.title ?? '')}`;
    case 'permission.requested':
      return [
        `the agent asks: ${line(event.data.command ?? event.data.title)}`,
        `  answer: pullwright permissions allow ${event.data.permission_id}   (or reject), until ${event.data.deadline}`,
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

function isEnd({ type }: RunEvent): boolean {
  return type === 'run.succeeded' || type === 'run.failed' || type === 'run.canceled' || type === 'run.timed_out';
}

function checkEnd(event: RunEvent): void {
  const what = failureOf(event);
  if (what !== undefined) throw new CommandError(what, event.type === 'run.canceled' ? EXIT.canceled : EXIT.failed);
}

/** Why a run did not succeed, of its last event. */
export function failureOf(event: RunEvent): string | undefined {
  if (event.type === 'run.canceled') return 'The run was canceled.';
  if (event.type !== 'run.failed' && event.type !== 'run.timed_out') return undefined;
  const { detail, remedy } = event.data.error;
  return `The run failed: ${detail} ${remedy}`.trim();
}

/**
 * The run that is meant: by its id, or the last one of a ticket.
 * @throws CommandError when the ticket has none
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
