import { type EventData, type RunEvent, TERMINAL_EVENTS } from '../../../schemas/event.ts';
import type { EventView } from '../../core/sse.ts';

type Requested = EventData['permission.requested'];

const END = '__END__';

/**
 * Creates the view of the simple API: a frame per line of agent text, a short line for other events, and `__END__`. It buffers
 * an incomplete line, so a view serves one stream.
 * @param waits whether the run waits for other runs of its ticket
 * @param after `seq` of the last event that the client has
 */
export function createLineView(waits: boolean, after: number): EventView {
  let line = '';
  /** The last event without buffered text: a client that resumed after a later event would miss the buffer. */
  let resumable = after;

  function linesOf(event: RunEvent): string[] {
    if (event.type === 'message.delta') {
      const lines = (line + event.data.text).split(/\r\n|\n|\r(?!$)/);
      line = lines.pop() ?? '';
      return lines.map(escapeEnd);
    }
    const isLast = TERMINAL_EVENTS.has(event.type);
    const lines = progress(event, waits);
    if (lines.length === 0 && !isLast) return [];
    const buffered = line === '' ? [] : [line];
    line = '';
    return [...[...buffered, ...lines].map(escapeEnd), ...(isLast ? [END] : [])];
  }

  return {
    // A comment, so that the headers reach the client before the first text of the agent.
    opening: ':\n\n',
    frame(event) {
      const lines = linesOf(event);
      const before = resumable;
      if (line === '') resumable = event.seq;
      return lines.map((text, index) => frame(index === lines.length - 1 ? resumable : before, text)).join('');
    },
  };
}

/** Indents a line of text that equals the end marker. */
function escapeEnd(text: string): string {
  return text === END ? ` ${text}` : text;
}

function frame(id: number, text: string): string {
  return `id: ${id}\ndata: ${text}\n\n`;
}

/** Returns the lines of an event other than agent text. */
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

/** Puts the instructions first: text of the agent could imitate them or push them out of the line. */
function permission(runId: string, { permission_id, deadline, kind, command, title }: Requested): string {
  const path = `/v1/runs/${runId}/permissions/${permission_id}`;
  const call = (command ?? title).replaceAll('\n', '\\n');
  const shown = call.length > 200 ? `${call.slice(0, 200)} [cut; GET /v1/permissions shows all of it]` : call;
  return oneLine(`[permission] POST ${path} {"decision":"allow"|"reject"} until ${deadline}: ${kind} ${shown}`);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 500);
}
