import { type EventData, type RunEvent, TERMINAL_EVENTS } from '../../../schemas/event.ts';
import type { EventView } from '../../core/sse.ts';

type Requested = EventData['permission.requested'];

const END = '__END__';

/**
 * The original service's stream: a frame per line of agent text, a short line for each thing that happened, and
 * `__END__`. Text is held back until its line is complete, so one view serves one stream.
 * @param waits whether the run waits for others of its ticket, which is worth a line
 * @param after the last event that the client has
 */
export function createLineView(waits: boolean, after: number): EventView {
  let line = '';
  /** The last event that is told completely: resuming after a later one would lose the text that is held back. */
  let told = after;

  function linesOf(event: RunEvent): string[] {
    if (event.type === 'message.delta') {
      const lines = (line + event.data.text).split(/\r\n|\n|\r(?!$)/);
      line = lines.pop() ?? '';
      return lines.map(harmless);
    }
    const ended = TERMINAL_EVENTS.has(event.type);
    const said = progress(event, waits);
    if (said.length === 0 && !ended) return [];
    const rest = line === '' ? [] : [line];
    line = '';
    return [...[...rest, ...said].map(harmless), ...(ended ? [END] : [])];
  }

  return {
    // A comment, so that the headers reach the client before the agent says its first word.
    opening: ':\n\n',
    frame(event) {
      const lines = linesOf(event);
      const before = told;
      if (line === '') told = event.seq;
      return lines.map((text, index) => frame(index === lines.length - 1 ? told : before, text)).join('');
    },
  };
}

/** A line that reads like the end of the stream is indented, since it is not. */
function harmless(text: string): string {
  return text === END ? ` ${text}` : text;
}

function frame(id: number, text: string): string {
  return `id: ${id}\ndata: ${text}\n\n`;
}

/** What an event that is not agent text is told as. */
function progress(event: RunEvent, waits: boolean): string[] {
  switch (event.type) {
    case 'run.queued':
      return waits || event.data.position > 1 ? [`[queued] position ${event.data.position}`] : [];
    case 'run.resumed':
      return event.data.attempt === undefined
        ? []
        : [`[resumed] attempt ${event.data.attempt} after ${event.data.cause}`];
    case 'run.limit_near':
      return [`[limit] ${event.data.setting}: ${event.data.detail}`];
    case 'tool.started':
      return [oneLine(`[tool] ${event.data.kind ?? 'other'} ${event.data.title ?? ''}`)];
    case 'permission.requested':
      return [permission(event.run_id, event.data)];
    case 'permission.resolved':
      return event.data.by === 'policy' ? [] : [`[permission] ${event.data.decision}, by ${event.data.by}`];
    case 'plan.saved':
      return [`[plan] version ${event.data.version}`];
    case 'commit.created':
      return [oneLine(`[commit] ${event.data.sha.slice(0, 12)} ${event.data.subject}`)];
    case 'branch.pushed':
      return [`[push] ${event.data.ref}`];
    case 'pull_request.opened':
    case 'pull_request.updated':
      return [`[pull_request] ${event.data.url}`];
    case 'run.failed':
    case 'run.canceled':
    case 'run.timed_out':
      return [oneLine(`Error: ${event.data.error.detail}`)];
    default:
      return [];
  }
}

/** How to answer comes first: what the agent wrote could push it out of the line, or look like it. */
function permission(runId: string, { permission_id, deadline, kind, command, title }: Requested): string {
  const path = `/v1/runs/${runId}/permissions/${permission_id}`;
  const what = (command ?? title).replaceAll('\n', '\\n');
  const shown = what.length > 200 ? `${what.slice(0, 200)} [cut; GET /v1/permissions shows all of it]` : what;
  return oneLine(`[permission] POST ${path} {"decision":"allow"|"reject"} until ${deadline}: ${kind} ${shown}`);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 500);
}
