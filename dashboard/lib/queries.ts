import { unwrap } from '../../client/client.ts';
import type { RunState } from '../../schemas/run.ts';
import { api } from './api.ts';
import { listOf, type Query } from './resource.ts';

// The reads of the page. The cache key is the path, so that all reads of a ticket share a prefix.

export function ticketPath(ticketId: string): string {
  return `/v1/tickets/${encodeURIComponent(ticketId)}`;
}

export const tickets = listOf('/v1/tickets', 100, (page) =>
  unwrap(api.GET('/v1/tickets', { params: { query: page } })),
);

export const ticket = (ticket_id: string) =>
  query(ticketPath(ticket_id), () => unwrap(api.GET('/v1/tickets/{ticket_id}', { params: { path: { ticket_id } } })));

export const runsOf = (ticket_id: string) =>
  listOf(`${ticketPath(ticket_id)}/runs`, 10, (page) =>
    unwrap(api.GET('/v1/tickets/{ticket_id}/runs', { params: { path: { ticket_id }, query: page } })),
  );

export const plan = (ticket_id: string, version?: number) =>
  query(`${ticketPath(ticket_id)}/plan?version=${version ?? ''}`, () =>
    unwrap(
      api.GET('/v1/tickets/{ticket_id}/plan', {
        params: { path: { ticket_id }, query: version === undefined ? {} : { version } },
      }),
    ),
  );

export const diff = (ticket_id: string) =>
  query(`${ticketPath(ticket_id)}/diff`, () =>
    unwrap(api.GET('/v1/tickets/{ticket_id}/diff', { params: { path: { ticket_id } } })),
  );

export const runs = (state: RunState | undefined) =>
  listOf(`/v1/runs?state=${state ?? ''}`, 50, (page) =>
    unwrap(api.GET('/v1/runs', { params: { query: { ...page, ...(state && { state }) } } })),
  );

export const run = (run_id: string) =>
  query(`/v1/runs/${run_id}`, () => unwrap(api.GET('/v1/runs/{run_id}', { params: { path: { run_id } } })));

export const permissions = listOf('/v1/permissions', 50, (page) =>
  unwrap(api.GET('/v1/permissions', { params: { query: page } })),
);

export const usage = (by: 'day' | 'ticket' | 'key') =>
  query(`/v1/usage?by=${by}`, () => unwrap(api.GET('/v1/usage', { params: { query: { by } } })));

export const agents = query('/v1/agents', () => unwrap(api.GET('/v1/agents')));

export const keys = listOf('/v1/keys', 50, (page) => unwrap(api.GET('/v1/keys', { params: { query: page } })));

export const audit = listOf('/v1/audit', 50, (page) => unwrap(api.GET('/v1/audit', { params: { query: page } })));

function query<T>(key: string, load: () => Promise<T>): Query<T> {
  return { key, load };
}
