import type { Ticket } from '../../schemas/ticket.ts';
import type { GitProgress } from '../git/progress.ts';
import type { RunRow } from '../store/schema.ts';
import type { TicketRow } from '../store/tickets.ts';

/** The parts of a view that the row does not hold. */
export type TicketFacts = {
  lastRun: RunRow | undefined;
  planVersion: number | undefined;
  progress: GitProgress | undefined;
};

/** Converts a stored ticket to the view that clients see. */
export function toTicket(row: TicketRow, { lastRun, planVersion, progress }: TicketFacts): Ticket {
  return {
    ticket_id: row.ticket_id,
    repo_url: row.repo_url,
    ...(row.title === null ? {} : { title: row.title }),
    ...(row.description === null ? {} : { description: row.description }),
    branch: row.branch,
    base_branch: row.base_branch,
    state: row.state,
    ...(progress === undefined || row.state !== 'creating' ? {} : { progress }),
    ...(planVersion === undefined ? {} : { plan_version: planVersion }),
    ...(row.pull_request_number === null || row.pull_request_url === null
      ? {}
      : { pull_request: { number: row.pull_request_number, url: row.pull_request_url } }),
    ...(lastRun === undefined ? {} : { last_run: runSummary(lastRun) }),
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

function runSummary(run: RunRow): NonNullable<Ticket['last_run']> {
  return { run_id: run.run_id, action: run.action, state: run.state, created_at: run.created_at };
}
