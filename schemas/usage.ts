import { type Static, Type } from '@sinclair/typebox';
import { Usage } from './run.ts';

const Day = Type.String({ format: 'date', examples: ['2026-11-22'] });
const Counts = Type.Record(Type.String(), Type.Integer());

export const UsageQuery = Type.Object(
  {
    by: Type.Unsafe<'day' | 'ticket' | 'key'>({ type: 'string', enum: ['day', 'ticket', 'key'], default: 'day' }),
    from: Type.Optional({ ...Day, description: 'First day, in UTC; 30 days ago by default.' }),
    to: Type.Optional({ ...Day, description: 'Last day, in UTC; today by default.' }),
  },
  { additionalProperties: false },
);
export type UsageQuery = Static<typeof UsageQuery>;

export const UsageItem = Type.Object({
  day: Type.Optional(Type.String()),
  ticket_id: Type.Optional(Type.String()),
  key_id: Type.Optional(
    Type.Union([Type.String(), Type.Null()], {
      description: '`environment` for API_KEY, `loopback` on a server that requires no key.',
    }),
  ),
  runs: Type.Integer(),
  runs_by_state: Counts,
  runs_by_action: Counts,
  ...Usage.properties,
  duration_ms: Type.Integer({ description: 'Duration of all attempts, without the time in the queue.' }),
});
export type UsageItem = Static<typeof UsageItem>;

export const UsageReport = Type.Object(
  {
    from: Day,
    to: Day,
    items: Type.Array(UsageItem, { description: 'Days in order; tickets and keys by tokens, highest first.' }),
  },
  {
    $id: 'UsageReport',
    examples: [
      {
        from: '2026-11-21',
        to: '2026-11-22',
        items: [
          {
            day: '2026-11-22',
            runs: 3,
            runs_by_state: { succeeded: 3 },
            runs_by_action: { chat: 1, make_plan: 1, dev: 1 },
            input_tokens: 96_420,
            output_tokens: 7_810,
            cached_tokens: 60_416,
            duration_ms: 142_300,
          },
        ],
      },
    ],
  },
);
export type UsageReport = Static<typeof UsageReport>;
