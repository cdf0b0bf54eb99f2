import { type Static, type TObject, type TProperties, Type } from '@sinclair/typebox';
import { RunId, Time } from './common.ts';
import { RunError, RunResult, Usage } from './run.ts';

export const Step = Type.Union([
  Type.Literal('workspace'),
  Type.Literal('agent'),
  Type.Literal('verify'),
  Type.Literal('commit'),
  Type.Literal('push'),
  Type.Literal('pull_request'),
]);
export type Step = Static<typeof Step>;

/** Kinds and statuses of a tool call, as ACP names them (https://agentclientprotocol.com/protocol/tool-calls). */
export const ToolKind = Type.Union(
  (['read', 'edit', 'delete', 'move', 'search', 'execute', 'think', 'fetch', 'switch_mode', 'other'] as const).map(
    (kind) => Type.Literal(kind),
  ),
);
export type ToolKind = Static<typeof ToolKind>;
export const ToolStatus = Type.Union(
  (['pending', 'in_progress', 'completed', 'failed'] as const).map((status) => Type.Literal(status)),
);
export type ToolStatus = Static<typeof ToolStatus>;

const ToolCall = Type.Object({
  tool_call_id: Type.String(),
  title: Type.Optional(Type.String()),
  kind: Type.Optional(ToolKind),
  status: Type.Optional(ToolStatus),
  locations: Type.Optional(Type.Array(Type.Object({ path: Type.String(), line: Type.Optional(Type.Integer()) }))),
  diff: Type.Optional(
    Type.Array(Type.Object({ path: Type.String(), old_text: Type.Optional(Type.String()), new_text: Type.String() })),
  ),
  output: Type.Optional(Type.String()),
});

/** A tool call in full. A call that is too large to show is never put to a person. */
export const PermissionQuestion = Type.Object({
  tool_call_id: Type.String(),
  title: Type.String(),
  kind: ToolKind,
  command: Type.Optional(Type.String({ description: 'The command to execute, for the kind `execute`.' })),
  input: Type.Optional(Type.String({ description: 'Arguments of the tool as JSON, if the agent reports them.' })),
  locations: Type.Optional(Type.Array(Type.Object({ path: Type.String(), line: Type.Optional(Type.Integer()) }))),
  diff: ToolCall.properties.diff,
});
export type PermissionQuestion = Static<typeof PermissionQuestion>;

/** The decision on a permission request. */
export const PermissionDecision = Type.Object({
  decision: Type.Union([Type.Literal('allow'), Type.Literal('reject')]),
  by: Type.String({
    description:
      'Id of the key that answered; `policy`, `deadline`, `canceled` or `interrupted` for a request without an answer.',
  }),
});

const Text = Type.Object({ text: Type.String() });
const spent = { usage: Usage, duration_ms: Type.Integer() };
const Succeeded = Type.Object({ result: RunResult, ...spent });
const Failed = Type.Object({ error: RunError, ...spent });

/** Schema of `data` by event type. */
export const eventData = {
  'run.queued': Type.Object({
    position: Type.Integer(),
    estimated_wait_s: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  }),
  'run.started': Type.Object({ attempt: Type.Integer(), agent: Type.String(), model: Type.Optional(Type.String()) }),
  'run.waiting': Type.Object({ permission_id: Type.String() }),
  /** The run continues. With `attempt`: the previous attempt was interrupted, and the run is queued for this one. */
  'run.resumed': Type.Object({
    cause: Type.String(),
    attempt: Type.Optional(Type.Integer()),
    detail: Type.Optional(Type.String()),
  }),
  'run.limit_near': Type.Object({
    setting: Type.String({ description: 'Setting, or field of the request, with the limit.' }),
    detail: Type.String(),
  }),
  'step.started': Type.Object({ step: Step }),
  'step.finished': Type.Object({ step: Step, duration_ms: Type.Integer() }),
  'message.delta': Text,
  'thought.delta': Text,
  'tool.started': ToolCall,
  'tool.updated': ToolCall,
  'plan.entries': Type.Object({
    entries: Type.Array(Type.Object({ content: Type.String(), priority: Type.String(), status: Type.String() })),
  }),
  'permission.requested': Type.Object({
    permission_id: Type.String(),
    ...PermissionQuestion.properties,
    options: Type.Array(Type.Object({ option_id: Type.String(), name: Type.String(), kind: Type.String() })),
    deadline: Time,
  }),
  'permission.resolved': Type.Object({
    permission_id: Type.String(),
    tool_call_id: Type.String(),
    ...PermissionDecision.properties,
  }),
  'plan.saved': Type.Object({ version: Type.Integer() }),
  'commit.created': Type.Object({ sha: Type.String(), subject: Type.String() }),
  'branch.pushed': Type.Object({ ref: Type.String(), sha: Type.String() }),
  'pull_request.opened': Type.Object({ number: Type.Integer(), url: Type.String() }),
  'pull_request.updated': Type.Object({ number: Type.Integer(), url: Type.String() }),
  'usage.updated': Type.Object({ ...Usage.properties, model: Type.Optional(Type.String()) }),
  log: Type.Object({
    level: Type.Union([Type.Literal('debug'), Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')]),
    text: Type.String(),
  }),
  'run.succeeded': Succeeded,
  'run.failed': Failed,
  'run.canceled': Failed,
  'run.timed_out': Failed,
} as const satisfies Record<string, TObject<TProperties>>;

export type EventType = keyof typeof eventData;
export type EventData = { [T in EventType]: Static<(typeof eventData)[T]> };

/** An event before it is appended to a log. */
export type EventDraft = { [T in EventType]: { type: T; data: EventData[T] } }[EventType];

/** A durable event of a run, numbered 1, 2, 3 ... without gaps. */
export type RunEvent = EventDraft & { seq: number; run_id: string; time: string };

export const TERMINAL_EVENTS: ReadonlySet<string> = new Set<EventType>([
  'run.succeeded',
  'run.failed',
  'run.canceled',
  'run.timed_out',
]);

/** The events of a short chat. */
export const exampleEvents: readonly RunEvent[] = (
  [
    { type: 'run.queued', data: { position: 1, estimated_wait_s: null } },
    { type: 'run.started', data: { attempt: 1, agent: 'gemini', model: 'gemini-2.5-pro' } },
    { type: 'message.delta', data: { text: 'Let me look.\n' } },
    { type: 'tool.started', data: { tool_call_id: 'read_file-1', title: 'src/money.ts', kind: 'read' } },
    { type: 'tool.updated', data: { tool_call_id: 'read_file-1', status: 'completed' } },
    { type: 'message.delta', data: { text: 'Amounts are rounded by `cents` in `src/money.ts`.\n' } },
    {
      type: 'run.succeeded',
      data: {
        result: { text: 'Let me look.\nAmounts are rounded by `cents` in `src/money.ts`.\n' },
        usage: { input_tokens: 9_120, output_tokens: 214, cached_tokens: 4_096 },
        duration_ms: 3000,
      },
    },
  ] satisfies EventDraft[]
).map((event, index) => ({
  seq: index + 1,
  run_id: '019a9f3c-5b09-7a33-8c0d-0b3d1e8f0a1b',
  time: `2026-11-22T10:01:0${Math.floor(index / 2)}.000Z`,
  ...event,
}));

/** Envelope of an event. `eventData` has the schemas of `data`. */
export const Event = Type.Object(
  {
    seq: Type.Integer({ minimum: 1 }),
    run_id: RunId,
    time: Time,
    type: Type.Union(Object.keys(eventData).map((type) => Type.Literal(type))),
    data: Type.Record(Type.String(), Type.Unknown()),
  },
  { $id: 'Event' },
);

export const EventPage = Type.Object(
  {
    items: Type.Array(Event),
    next_after: Type.Integer({ description: '`after` of the next page.' }),
  },
  { $id: 'EventPage', examples: [{ items: exampleEvents, next_after: exampleEvents.length }] },
);

export const EventQuery = Type.Object(
  {
    after: Type.Optional(Type.Integer({ minimum: 0, description: 'Events with a greater `seq`.' })),
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 1000 }),
  },
  { additionalProperties: false },
);
