import { Type } from '@sinclair/typebox';

/** RFC 3339 time in UTC, as all times of the API. */
export const Time = Type.String({ format: 'date-time', examples: ['2026-11-22T10:00:00.000Z'] });

/** Device names of Windows, where folders and branches cannot have them. */
const DEVICE_NAMES = '(?:[Cc][Oo][Nn]|[Pp][Rr][Nn]|[Aa][Uu][Xx]|[Nn][Uu][Ll]|[Cc][Oo][Mm][0-9]|[Ll][Pp][Tt][0-9])';

/** `ticket_id`: letters, digits and inner dashes, without a special meaning for git or any file system. */
export const TicketId = Type.String({
  minLength: 1,
  maxLength: 64,
  pattern: `^(?!${DEVICE_NAMES}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?$`,
  description: 'Letters, digits and inner dashes; unique without regard to case.',
  examples: ['REL-123'],
});

/** `run_id`: a UUIDv7, so ids sort by time (RFC 9562 §5.7). */
export const RunId = Type.String({
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$',
  description: 'UUIDv7; ids sort by time.',
  examples: ['019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c'],
});

export const TicketParams = Type.Object({ ticket_id: TicketId }, { additionalProperties: false });
export const RunParams = Type.Object({ run_id: RunId }, { additionalProperties: false });

/** Keyset page: `cursor` is the opaque `next_cursor` of the previous page. */
export const PageQuery = {
  cursor: Type.Optional(Type.String({ maxLength: 200 })),
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 50 }),
};

/** Headers of every POST. Their user checks the text. */
export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      description:
        'A text of 1 to 255 printable ASCII characters, such as a UUID. For 24 hours, repeating a request with the same key returns the first answer (`Idempotent-Replayed: true`) and has no further effect. Another request with the key gets 422; a repetition while the first is in progress gets 409.',
    }),
  ),
});
