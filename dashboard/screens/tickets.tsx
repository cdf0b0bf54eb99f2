import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import type { Ticket } from '../../schemas/ticket.ts';
import { Empty, Loading, ProblemBox } from '../components/feedback.tsx';
import { LoadMore } from '../components/load-more.tsx';
import { ACTIONS, Badge, StateBadge } from '../components/state.tsx';
import { Ago } from '../components/time.tsx';
import { Title } from '../components/title.tsx';
import { plural, repositoryName } from '../lib/format.ts';
import * as queries from '../lib/queries.ts';
import { useList } from '../lib/resource.ts';
import { useCan } from '../lib/session.ts';
import { NewTicket } from './new-ticket.tsx';

type Filter = { name: string; label: string; matches(ticket: Ticket): boolean };

const FILTERS: readonly Filter[] = [
  { name: '', label: 'All', matches: () => true },
  {
    name: 'active',
    label: 'Active',
    matches: ({ last_run }) =>
      last_run?.state === 'running' || last_run?.state === 'queued' || last_run?.state === 'waiting',
  },
  { name: 'waiting', label: 'Needs approval', matches: ({ last_run }) => last_run?.state === 'waiting' },
  {
    name: 'failed',
    label: 'Failed',
    matches: ({ last_run }) => last_run?.state === 'failed' || last_run?.state === 'timed_out',
  },
  { name: 'pr', label: 'Pull request', matches: ({ pull_request }) => pull_request !== undefined },
];

export function Tickets() {
  const { query, route } = useLocation();
  const can = useCan();
  const canCreate = can('chat') || can('plan') || can('dev');
  const { data, problem, loading, loadMore } = useList(queries.tickets);
  const [creating, setCreating] = useState(false);
  const search = query.q ?? '';
  const filter = FILTERS.find(({ name }) => name === (query.show ?? '')) ?? FILTERS[0];
  const tickets = data?.items ?? [];
  const shown = tickets.filter((ticket) => (filter?.matches(ticket) ?? true) && matchesSearch(ticket, search));

  function setFilter(change: Record<string, string>): void {
    const params = new URLSearchParams({ q: search, show: filter?.name ?? '', ...change });
    for (const [name, value] of [...params]) if (value === '') params.delete(name);
    route(`/dashboard/${params.size === 0 ? '' : `?${params}`}`, true);
  }

  return (
    <>
      <Title title="Tickets">
        {canCreate && (
          <button type="button" class="primary" data-compose onClick={() => setCreating(true)}>
            New ticket
          </button>
        )}
      </Title>
      {problem !== undefined && <ProblemBox problem={problem} />}
      {data === undefined && loading && <Loading label="tickets" />}
      {data !== undefined && tickets.length === 0 && <NoTickets canCreate={canCreate} />}
      {tickets.length > 0 && (
        <>
          <div class="toolbar">
            <input
              type="search"
              data-search
              aria-label="Search tickets"
              placeholder="Search by id, title or repository"
              value={search}
              onInput={(event) => setFilter({ q: event.currentTarget.value })}
            />
            <fieldset class="segments">
              <legend class="hidden">Show</legend>
              {FILTERS.map(({ name, label, matches }) => (
                <button
                  key={name}
                  type="button"
                  aria-pressed={name === filter?.name}
                  onClick={() => setFilter({ show: name })}
                >
                  {label} <span class="num muted">{tickets.filter(matches).length}</span>
                </button>
              ))}
            </fieldset>
          </div>
          {shown.length === 0 ? (
            <Empty title="No matching tickets">
              <button type="button" onClick={() => setFilter({ q: '', show: '' })}>
                Clear filters
              </button>
            </Empty>
          ) : (
            <ul class="rows tickets" aria-label="Tickets">
              {shown.map((ticket) => (
                <TicketRow key={ticket.ticket_id} ticket={ticket} />
              ))}
            </ul>
          )}
          <LoadMore onClick={loadMore} />
          <p class="muted small-text" role="status">
            {plural(shown.length, 'ticket')}
            {loadMore !== undefined && ` of the latest ${tickets.length}`}
          </p>
        </>
      )}
      {creating && <NewTicket onClose={() => setCreating(false)} />}
    </>
  );
}

function TicketRow({ ticket }: { ticket: Ticket }) {
  const { ticket_id, title, repo_url, state, progress, last_run, pull_request, plan_version, updated_at } = ticket;
  return (
    <li>
      <a href={`/dashboard/tickets/${ticket_id}`} data-row>
        <span class="ticket-id">{ticket_id}</span>
        <span class="ticket-title">{title ?? 'Untitled'}</span>
        <span class="ticket-repo muted">{repositoryName(repo_url)}</span>
        <span class="ticket-state">
          {state === 'creating' && (
            <Badge tone="busy">{`Checking out${progress === undefined ? '' : ` ${progress.percent} %`}`}</Badge>
          )}
          {state === 'deleting' && <Badge tone="off">Deleting</Badge>}
          {state === 'ready' && last_run === undefined && <Badge tone="off">New</Badge>}
          {last_run !== undefined && (
            <>
              <span class="muted">{ACTIONS[last_run.action]}</span> <StateBadge state={last_run.state} />
            </>
          )}
        </span>
        <span class="ticket-pr muted">
          {pull_request !== undefined
            ? `PR #${pull_request.number}`
            : plan_version !== undefined
              ? `Plan v${plan_version}`
              : ''}
        </span>
        <span class="ticket-time muted">
          <Ago time={last_run?.created_at ?? updated_at} />
        </span>
      </a>
    </li>
  );
}

function matchesSearch({ ticket_id, title, repo_url }: Ticket, search: string): boolean {
  const text = `${ticket_id} ${title ?? ''} ${repo_url}`.toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function NoTickets({ canCreate }: { canCreate: boolean }) {
  return (
    <Empty title="From ticket to pull request in three commands">
      <ol class="steps">
        <li>
          <strong>chat</strong> answers questions about the code and changes nothing.
        </li>
        <li>
          <strong>make plan</strong> writes a plan, which you edit and approve.
        </li>
        <li>
          <strong>dev</strong> implements the plan, commits and opens the pull request.
        </li>
      </ol>
      <p class="muted">
        Each ticket has its own branch and workspace.{canCreate && ' Select New ticket to create the first one.'}
      </p>
    </Empty>
  );
}
