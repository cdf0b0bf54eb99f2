import { ErrorBoundary, useRoute } from 'preact-iso';
import type { Run } from '../../../schemas/run.ts';
import type { Ticket } from '../../../schemas/ticket.ts';
import { Empty, Loading, ProblemBox } from '../../components/feedback.tsx';
import { lazy } from '../../components/lazy.tsx';
import { Markdown } from '../../components/markdown.tsx';
import { Badge, StateBadge } from '../../components/state.tsx';
import { Title } from '../../components/title.tsx';
import { repositoryName } from '../../lib/format.ts';
import { isFinished } from '../../lib/live-updates.ts';
import * as queries from '../../lib/queries.ts';
import { useList, useResource } from '../../lib/resource.ts';
import { useRunLog } from '../../lib/use-run-log.ts';
import { Conversation } from './conversation.tsx';
import { DeleteTicket } from './delete-ticket.tsx';
import { Todo } from './todo.tsx';

const Changes = lazy(() => import('./changes.tsx').then(({ Changes }) => Changes));
const PlanScreen = lazy(() => import('./plan.tsx').then(({ PlanScreen }) => PlanScreen));

const TABS = [
  { tab: '', name: 'Conversation' },
  { tab: 'plan', name: 'Plan' },
  { tab: 'changes', name: 'Changes' },
] as const;

/** Shows the page of a ticket: conversation, plan and changes. */
export function TicketScreen() {
  const { params } = useRoute();
  const id = params.id ?? '';
  return <TicketOf key={id} id={id} tab={params.tab ?? ''} />;
}

function TicketOf({ id, tab }: { id: string; tab: string }) {
  const { data: ticket, problem, loading, reload } = useResource(queries.ticket(id));
  const runs = useList(queries.runsOf(id));
  if (problem?.code === 'ticket_not_found' || problem?.code === 'invalid_request') {
    return (
      <Empty title={`Ticket ${id} not found`}>
        <p>
          It may have been deleted. See <a href="/dashboard/">all tickets</a>.
        </p>
      </Empty>
    );
  }
  if (ticket === undefined) {
    return problem !== undefined && !loading ? (
      <ProblemBox problem={problem}>
        <button type="button" onClick={reload}>
          Try again
        </button>
      </ProblemBox>
    ) : (
      <Loading label="the ticket" />
    );
  }
  const path = `/dashboard/tickets/${ticket.ticket_id}`;
  const current = runs.data?.items.find((run) => !isFinished(run) && run.state !== 'queued') ?? runs.data?.items[0];
  return (
    <div class="ticket">
      <a class="back muted" href="/dashboard/">
        Tickets
      </a>
      <Title title={ticket.title ?? ticket.ticket_id} tab={`${ticket.ticket_id} ${ticket.title ?? ''}`}>
        <DeleteTicket ticket={ticket} />
      </Title>
      <div class="facts">
        <span class="ticket-id">{ticket.ticket_id}</span>
        {ticket.last_run !== undefined && <StateBadge state={ticket.last_run.state} />}
        {ticket.state !== 'ready' && (
          <Badge tone="busy">{ticket.state === 'creating' ? 'Checking out' : 'Deleting'}</Badge>
        )}
        <a href={ticket.repo_url} target="_blank" rel="noopener noreferrer">
          {repositoryName(ticket.repo_url)}
        </a>
        <span class="mono muted">
          {ticket.branch} ← {ticket.base_branch}
        </span>
      </div>
      <nav class="tabs" aria-label="Ticket sections">
        {TABS.map((item) => (
          <a
            key={item.tab}
            href={item.tab === '' ? path : `${path}/${item.tab}`}
            aria-current={item.tab === tab ? 'page' : undefined}
          >
            {item.name}
            {item.tab === 'plan' && ticket.plan_version !== undefined && (
              <span class="count">v{ticket.plan_version}</span>
            )}
          </a>
        ))}
      </nav>
      <div class="columns">
        <div class="column">
          {tab === '' && <Conversation ticket={ticket} runs={runs} />}
          <ErrorBoundary>
            {tab === 'plan' && <PlanScreen ticket={ticket} />}
            {tab === 'changes' && <Changes ticket={ticket} />}
          </ErrorBoundary>
        </div>
        {tab === '' && (
          <aside aria-label="Ticket details">
            <PullRequestCard ticket={ticket} />
            {current !== undefined && current.state !== 'queued' && <CurrentTodo run={current} />}
            {ticket.description !== undefined && (
              <section class="card">
                <h2>Description</h2>
                <Markdown text={ticket.description} />
              </section>
            )}
          </aside>
        )}
      </div>
    </div>
  );
}

function PullRequestCard({ ticket }: { ticket: Ticket }) {
  const { pull_request: pull, plan_version: version } = ticket;
  const path = `/dashboard/tickets/${ticket.ticket_id}`;
  return (
    <section class="card">
      <h2>{pull === undefined ? 'Progress' : 'Pull request'}</h2>
      {pull !== undefined && (
        <p>
          <a class="pull" href={pull.url} target="_blank" rel="noopener noreferrer">
            #{pull.number} {ticket.title ?? ''}
          </a>
          <span class="muted block">On {new URL(pull.url).host}</span>
        </p>
      )}
      <ul class="plain">
        <li>{version === undefined ? 'No plan yet' : <a href={`${path}/plan`}>Plan version {version}</a>}</li>
        <li>
          <a href={`${path}/changes`}>Changes on the branch</a>
        </li>
      </ul>
    </section>
  );
}

/** Shows the to-do list of the agent in the current run, otherwise in the last one. */
function CurrentTodo({ run }: { run: Run }) {
  const { log } = useRunLog(run.run_id);
  return log.todo.length === 0 ? null : (
    <section class="card">
      <h2>Agent to-do list</h2>
      <Todo entries={log.todo} />
    </section>
  );
}
