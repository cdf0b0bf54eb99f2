import type { EventSourceMessage } from 'eventsource-parser';
import type { components } from './api.ts';
import type { RunEvent } from './run-events.ts';

type Run = components['schemas']['Run'];
type Ticket = components['schemas']['Ticket'];

/** What `GET /v1/events` tells; a snapshot replaces what was told before. */
export type Change =
  | {
      type: 'snapshot';
      data: {
        /** Those that have not ended. */
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

/** The server's own words are taken as they are: it checks them before it sends them. */
export function readChange({ event, data }: EventSourceMessage): Change {
  const change: Change = JSON.parse(`{"type":${JSON.stringify(event)},"data":${data}}`);
  return change;
}
