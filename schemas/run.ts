import { type Static, Type } from '@sinclair/typebox';
import { PageQuery, RunId, TicketId, Time } from './common.ts';

export type Action = 'chat' | 'make_plan' | 'dev';
export const Action = Type.Unsafe<Action>({ type: 'string', enum: ['chat', 'make_plan', 'dev'] });

export type RunState = 'queued' | 'running' | 'waiting' | 'succeeded' | 'failed' | 'canceled' | 'timed_out';
export const RunState = Type.Unsafe<RunState>({
  type: 'string',
  enum: ['queued', 'running', 'waiting', 'succeeded', 'failed', 'canceled', 'timed_out'],
});

const Message = Type.String({ maxLength: 65_536, description: 'Required for `chat`.' });

/** Body of `POST /command`, of the simple API. */
export const Command = Type.Object(
  { ticket_id: TicketId, action: Action, message: Type.Optional(Message) },
  {
    $id: 'Command',
    additionalProperties: false,
    examples: [{ ticket_id: 'REL-123', action: 'chat', message: 'Where are amounts rounded?' }],
  },
);

const upTo = (maximum: number) => Type.Optional(Type.Integer({ minimum: 1, maximum }));
export const Budget = Type.Object(
  { tokens: upTo(1_000_000_000_000), turns: upTo(1_000_000), seconds: upTo(86_400) },
  {
    additionalProperties: false,
    description: 'Maximum usage of the run. The limits of the server still apply.',
  },
);
export type Budget = Static<typeof Budget>;

export const CreateRun = Type.Object(
  {
    action: Action,
    message: Type.Optional(Message),
    agent: Type.Optional(Type.String({ maxLength: 64 })),
    budget: Type.Optional(Budget),
  },
  {
    $id: 'CreateRun',
    additionalProperties: false,
    examples: [{ action: 'dev', budget: { tokens: 2_000_000, seconds: 1800 } }],
  },
);

export const Usage = Type.Object({
  input_tokens: Type.Integer(),
  output_tokens: Type.Integer(),
  cached_tokens: Type.Integer(),
});
export type Usage = Static<typeof Usage>;

export const RunError = Type.Object({
  code: Type.String(),
  title: Type.String(),
  detail: Type.String(),
  remedy: Type.String(),
  retryable: Type.Boolean(),
});
export type RunError = Static<typeof RunError>;

/** Result of a run: `text` of a `chat`, `plan_version` of a `make_plan`, the other fields of a `dev`. */
export const RunResult = Type.Object({
  text: Type.Optional(Type.String()),
  plan_version: Type.Optional(Type.Integer()),
  cut_short: Type.Optional(
    Type.String({
      description:
        'Limit that the run came close to. The server asked the agent to finish, so the work may be incomplete.',
    }),
  ),
  commits: Type.Optional(Type.Array(Type.String(), { description: 'Commit ids, oldest first.' })),
  files_changed: Type.Optional(Type.Integer()),
  pull_request: Type.Optional(Type.Object({ number: Type.Integer(), url: Type.String(), created: Type.Boolean() })),
});
export type RunResult = Static<typeof RunResult>;

export const RunSummary = Type.Object({ run_id: RunId, action: Action, state: RunState, created_at: Time });

const asked = {
  run_id: '019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c',
  ticket_id: 'REL-123',
  action: 'dev',
  agent: 'gemini',
  plan_version: 1,
  budget: { tokens: 2_000_000, seconds: 1800 },
  created_at: '2026-11-22T10:05:00.000Z',
};
const nothing = { input_tokens: 0, output_tokens: 0, cached_tokens: 0 };

/** Examples of a queued and a canceled run. The example of `Run` has succeeded. */
export const queuedRun = {
  ...asked,
  state: 'queued',
  attempt: 0,
  queue_position: 1,
  estimated_wait_s: 40,
  usage: nothing,
};
export const canceledRun = { ...asked, state: 'canceled', attempt: 0, usage: nothing };
const endedRun = {
  ...asked,
  state: 'succeeded',
  attempt: 1,
  usage: { input_tokens: 48_211, output_tokens: 3_904, cached_tokens: 31_744 },
  result: {
    commits: ['9fceb02d0ae598e95dc970b74767f19372d61af8'],
    files_changed: 2,
    pull_request: { number: 17, url: 'https://github.com/acme/widgets/pull/17', created: true },
  },
  started_at: '2026-11-22T10:05:01.000Z',
  finished_at: '2026-11-22T10:06:30.000Z',
};

export const Run = Type.Object(
  {
    run_id: RunId,
    ticket_id: TicketId,
    action: Action,
    message: Type.Optional(Type.String()),
    state: RunState,
    attempt: Type.Integer({ description: 'Number of attempts; 0 before the first.' }),
    agent: Type.String(),
    queue_position: Type.Optional(Type.Integer({ description: '1 is next.' })),
    estimated_wait_s: Type.Optional(
      Type.Union([Type.Integer(), Type.Null()], {
        description:
          'Estimated wait of a queued run in seconds, based on recent runs of the same action; null without any.',
      }),
    ),
    plan_version: Type.Optional(Type.Integer()),
    budget: Type.Optional(Budget),
    usage: Usage,
    result: Type.Optional(RunResult),
    error: Type.Optional(RunError),
    created_at: Time,
    started_at: Type.Optional(Time),
    finished_at: Type.Optional(Time),
  },
  { $id: 'Run', examples: [endedRun] },
);
export type Run = Static<typeof Run>;

export const RunList = Type.Object(
  { items: Type.Array(Run), next_cursor: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'RunList', examples: [{ items: [endedRun], next_cursor: null }] },
);

export type RunList = Static<typeof RunList>;

export const RunQuery = Type.Object({ ...PageQuery, state: Type.Optional(RunState) }, { additionalProperties: false });
