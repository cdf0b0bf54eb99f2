import type { EventSourceMessage } from 'eventsource-parser';
import type { components } from './api.ts';
import type { RunEvent } from './run-events.ts';

type Run = components['schemas']['Run'];
type Ticket = components['schemas']['Ticket'];

/** A change of the feed `GET /v1/events`. A snapshot replaces all earlier state. */
export type Change =
  | {
      type: 'snapshot';
      data: {
        /** Runs that have not finished. */
        runs: Run[];
        queue: { queued: number; running: number };
        counts: { tickets: number; runs: Record<string, number> };
      };
    }
  | { type: 'ticket.created' | 'ticket.updated'; data: Ticket }
  | { type: 'ticket.deleted'; data: { ticket_id: string } }
  | { type: 'run.state'; data: Run }
  | PermissionChange<'permission.requested'>
  | PermissionChange<'permission.resolved'>;

type PermissionChange<T extends RunEvent['type']> = { type: T; data: Extract<RunEvent, { type: T }> };

/** Parses a message of the feed without validation: the server validates what it sends. */
export function readChange({ event, data }: EventSourceMessage): Change {
  const change: Change = JSON.parse(`{"type":${JSON.stringify(event)},"data":${data}}`);
  return change;
}
