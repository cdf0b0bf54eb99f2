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

type Filter = { name: string; label: string; holds(ticket: Ticket): boolean };

const FILTERS: readonly Filter[] = [
  { name: '', label: 'All', holds: () => true },
  {
    name: 'active',
    label: 'Active',
    holds: ({ last_run }) =>
      last_run?.state === 'running' || last_run?.state === 'queued' || last_run?.state === 'waiting',
  },
  { name: 'waiting', label: 'Needs an answer', holds: ({ last_run }) => last_run?.state === 'waiting' },
  {
    name: 'failed',
    label: 'Failed',
    holds: ({ last_run }) => last_run?.state === 'failed' || last_run?.state === 'timed_out',
  },
  { name: 'pr', label: 'Pull request', holds: ({ pull_request }) => pull_request !== undefined },
];

export function Tickets() {
  const { query, route } = useLocation();
  const can = useCan();
  const canCreate = can('chat') || can('plan') || can('dev');
  const { data, problem, loading, loadMore } = useList(queries.tickets);
  const [creating, setCreating] = useState(false);
  const words = query.q ?? '';
  const filter = FILTERS.find(({ name }) => name === (query.show ?? '')) ?? FILTERS[0];
  const tickets = data?.items ?? [];
  const shown = tickets.filter((ticket) => (filter?.holds(ticket) ?? true) && matches(ticket, words));

  function narrow(change: Record<string, string>): void {
    const params = new URLSearchParams({ q: words, show: filter?.name ?? '', ...change });
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
      {data !== undefined && tickets.length === 0 && <NoTickets />}
      {tickets.length > 0 && (
        <>
          <div class="toolbar">
            <input
              type="search"
              data-search
              aria-label="Search tickets"
              placeholder="Search by id, title or repository"
              value={words}
              onInput={(event) => narrow({ q: event.currentTarget.value })}
            />
            <fieldset class="segments">
              <legend class="hidden">Show</legend>
              {FILTERS.map(({ name, label, holds }) => (
                <button
                  key={name}
                  type="button"
                  aria-pressed={name === filter?.name}
                  onClick={() => narrow({ show: name })}
                >
                  {label} <span class="num muted">{tickets.filter(holds).length}</span>
                </button>
              ))}
            </fieldset>
          </div>
          {shown.length === 0 ? (
            <Empty title="No ticket matches">
              <button type="button" onClick={() => narrow({ q: '', show: '' })}>
                Show all
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
            {loadMore !== undefined && ` among the newest ${tickets.length}`}
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
        <span class="ticket-title">{title ?? 'Without a title'}</span>
        <span class="ticket-repo muted">{repositoryName(repo_url)}</span>
        <span class="ticket-state">
          {state === 'creating' && (
            <Badge tone="busy">{`Checking out${progress === undefined ? '' : ` ${progress.percent} %`}`}</Badge>
          )}
          {state === 'deleting' && <Badge tone="off">Being deleted</Badge>}
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

function matches({ ticket_id, title, repo_url }: Ticket, words: string): boolean {
  const text = `${ticket_id} ${title ?? ''} ${repo_url}`.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function NoTickets() {
  return (
    <Empty title="From a ticket to a pull request, in three commands">
      <ol class="steps">
        <li>
          <strong>chat</strong> asks about the code. Nothing is changed.
        </li>
        <li>
          <strong>make plan</strong> has the agent write down what is to be done. You edit and approve it.
        </li>
        <li>
          <strong>dev</strong> carries the plan out, commits, and opens the pull request.
        </li>
      </ol>
      <p class="muted">A ticket is a checkout of a repository on a branch of its own. Create the first one to begin.</p>
    </Empty>
  );
}
