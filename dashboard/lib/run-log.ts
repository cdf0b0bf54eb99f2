import type { RunEvent } from '../../client/run-events.ts';
import type { EventData } from '../../schemas/event.ts';

type ToolCall = EventData['tool.started'];
type TerminalData = Partial<EventData['run.succeeded'] & EventData['run.failed']>;

export type ToolItem = { kind: 'tool'; key: string; call: ToolCall; startedAt: string; endedAt?: string };
export type PermissionItem = {
  kind: 'permission';
  key: string;
  request: EventData['permission.requested'];
  resolved?: EventData['permission.resolved'];
};
export type NoteItem = { kind: 'note'; key: string; tone: 'info' | 'warn'; text: string; href?: string };
type TextItem = { kind: 'text'; key: string; text: string };
type ThoughtItem = { kind: 'thought'; key: string; text: string };
export type Item = TextItem | ThoughtItem | ToolItem | PermissionItem | NoteItem;

/** The events of a run as a page shows them. A changed item is a new object. */
export type RunLog = {
  items: Item[];
  todo: EventData['plan.entries']['entries'];
  usage: EventData['usage.updated'] | undefined;
  /** The running step of the server. */
  step: string | undefined;
  lastSeq: number;
  terminal: (TerminalData & { type: string }) | undefined;
};

export const EMPTY_LOG: RunLog = {
  items: [],
  todo: [],
  usage: undefined,
  step: undefined,
  lastSeq: 0,
  terminal: undefined,
};

const STEPS: Record<EventData['step.started']['step'], string> = {
  workspace: 'Preparing the workspace',
  agent: 'The agent is working',
  verify: 'Running the check command',
  commit: 'Committing',
  push: 'Pushing',
  pull_request: 'Opening the pull request',
};

/** Returns the log with further events. Events that it contains already are skipped. */
export function appendEvents(log: RunLog, events: readonly RunEvent[]): RunLog {
  const next = { ...log, items: [...log.items] };
  for (const event of events) {
    if (event.seq <= next.lastSeq) continue;
    next.lastSeq = event.seq;
    add(next, event);
  }
  return next;
}

function add(log: RunLog, event: RunEvent): void {
  const key = String(event.seq);
  switch (event.type) {
    case 'message.delta':
      addText(log, 'text', key, event.data.text);
      return;
    case 'thought.delta':
      addText(log, 'thought', key, event.data.text);
      return;
    case 'tool.started':
    case 'tool.updated':
      addTool(log, event);
      return;
    case 'permission.requested':
      log.items.push({ kind: 'permission', key, request: event.data });
      return;
    case 'permission.resolved':
      resolve(log, event.data);
      return;
    case 'plan.entries':
      log.todo = event.data.entries;
      return;
    case 'usage.updated':
      log.usage = event.data;
      return;
    case 'step.started':
      log.step = STEPS[event.data.step];
      return;
    case 'step.finished':
      log.step = undefined;
      return;
    case 'run.resumed':
      if (event.data.attempt !== undefined) note(log, key, 'warn', 'The run was interrupted and has restarted.');
      return;
    case 'plan.saved':
      note(log, key, 'info', `Plan saved as version ${event.data.version}`, 'plan');
      return;
    case 'commit.created':
      note(log, key, 'info', `Commit ${event.data.sha.slice(0, 10)}: ${event.data.subject}`, 'changes');
      return;
    case 'branch.pushed':
      note(log, key, 'info', `Pushed to ${event.data.ref.replace('refs/heads/', '')}`);
      return;
    case 'pull_request.opened':
      note(log, key, 'info', `Pull request #${event.data.number} opened`, event.data.url);
      return;
    case 'pull_request.updated':
      note(log, key, 'info', `Pull request #${event.data.number} updated`, event.data.url);
      return;
    case 'log':
      if (event.data.level === 'warn' || event.data.level === 'error') note(log, key, 'warn', event.data.text);
      return;
    case 'run.succeeded':
    case 'run.failed':
    case 'run.canceled':
    case 'run.timed_out':
      log.step = undefined;
      log.terminal = { ...event.data, type: event.type };
      return;
    default:
      return;
  }
}

function addText(log: RunLog, kind: 'text' | 'thought', key: string, text: string): void {
  const last = log.items.at(-1);
  if (last?.kind === kind) log.items[log.items.length - 1] = { ...last, text: last.text + text };
  else log.items.push({ kind, key, text });
}

function addTool(log: RunLog, { data, time }: { data: ToolCall; time: string }): void {
  // Tool calls are short, so the search from the end is too.
  const at = log.items.findLastIndex((item) => item.kind === 'tool' && item.call.tool_call_id === data.tool_call_id);
  const before = log.items[at];
  const finished = data.status === 'completed' || data.status === 'failed' ? { endedAt: time } : {};
  if (before?.kind === 'tool') log.items[at] = { ...before, call: { ...before.call, ...data }, ...finished };
  else log.items.push({ kind: 'tool', key: data.tool_call_id, call: data, startedAt: time, ...finished });
}

function resolve(log: RunLog, resolved: EventData['permission.resolved']): void {
  const at = log.items.findLastIndex(
    (item) => item.kind === 'permission' && item.request.permission_id === resolved.permission_id,
  );
  const before = log.items[at];
  if (before?.kind === 'permission') log.items[at] = { ...before, resolved };
}

function note(log: RunLog, key: string, tone: NoteItem['tone'], text: string, href?: string): void {
  log.items.push({ kind: 'note', key, tone, text, ...(href === undefined ? {} : { href }) });
}
