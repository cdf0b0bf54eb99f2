import { useMemo, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { unwrap } from '../../../client/client.ts';
import type { Plan } from '../../../schemas/plan.ts';
import type { Problem } from '../../../schemas/problem.ts';
import type { Ticket } from '../../../schemas/ticket.ts';
import { DiffLines } from '../../components/diff-view.tsx';
import { Empty, Loading, ProblemBox } from '../../components/feedback.tsx';
import { Markdown } from '../../components/markdown.tsx';
import { Badge } from '../../components/state.tsx';
import { Ago } from '../../components/time.tsx';
import { api, idempotencyHeader } from '../../lib/api.ts';
import { compareTexts } from '../../lib/diff.ts';
import { asProblem } from '../../lib/problem.ts';
import * as queries from '../../lib/queries.ts';
import { invalidate, useResource } from '../../lib/resource.ts';
import { useCan } from '../../lib/session.ts';
import { loadDraft } from '../../lib/use-draft.ts';
import { draftName, PlanEditor } from './plan-editor.tsx';

/** Shows the plan. The query `version` selects an older version, `against` a version to compare with. */
export function PlanScreen({ ticket }: { ticket: Ticket }) {
  const { query, path, route } = useLocation();
  const can = useCan();
  const version = (number: string | undefined) =>
    number === undefined ? undefined : queries.plan(ticket.ticket_id, Number(number));
  const newest = useResource(queries.plan(ticket.ticket_id));
  const older = useResource(version(query.version));
  const against = useResource(version(query.against));
  const [editing, setEditing] = useState(() => loadDraft(draftName(ticket.ticket_id)) !== '');
  const shown = query.version === undefined ? newest : older;

  if (newest.problem?.code === 'plan_not_found') {
    return (
      <Empty title="No plan yet">
        <p>
          Run <a href={`/dashboard/tickets/${ticket.ticket_id}`}>make plan</a> to create one.
        </p>
      </Empty>
    );
  }
  const problem = shown.problem ?? against.problem;
  if (problem !== undefined && shown.data === undefined) return <ProblemBox problem={problem} />;
  if (newest.data === undefined || shown.data === undefined) return <Loading label="the plan" />;
  if (editing) return <PlanEditor ticket={ticket} newest={newest.data} onDone={() => setEditing(false)} />;

  const plan = shown.data;
  const last = newest.data.version;
  const isNewest = plan.version === last;
  const choose = (change: Record<string, string>) => {
    const params = new URLSearchParams({ version: query.version ?? '', against: query.against ?? '', ...change });
    for (const [name, value] of [...params]) if (value === '') params.delete(name);
    route(params.size === 0 ? path : `${path}?${params}`, true);
  };
  return (
    <section class="plan" aria-label="Plan">
      <h2 class="hidden">Plan, version {plan.version}</h2>
      <div class="toolbar">
        <select
          aria-label="Version"
          value={plan.version}
          onChange={({ currentTarget: { value } }) => choose({ version: value === String(last) ? '' : value })}
        >
          {versionsTo(last).map((version) => (
            <option key={version} value={version}>
              Version {version}
            </option>
          ))}
        </select>
        {last > 1 && (
          <select
            aria-label="Compare with"
            value={query.against ?? ''}
            onChange={({ currentTarget: { value } }) => choose({ against: value })}
          >
            <option value="">No comparison</option>
            {versionsTo(last)
              .filter((version) => version !== plan.version)
              .map((version) => (
                <option key={version} value={version}>
                  Compare with version {version}
                </option>
              ))}
          </select>
        )}
        <span class="muted">
          by {plan.author === 'agent' ? 'the agent' : 'a person'}, <Ago time={plan.created_at} />
        </span>
        {plan.approved_at === undefined ? <Badge tone="off">Not approved</Badge> : <Badge tone="good">Approved</Badge>}
        {can('plan') && isNewest && (
          <div class="actions">
            <button type="button" onClick={() => setEditing(true)}>
              Edit
            </button>
            {plan.approved_at === undefined && <Approve ticket={ticket} version={plan.version} />}
          </div>
        )}
      </div>
      {!isNewest && (
        <div class="notice ask">
          This is an older version. <a href={path}>Version {last}</a> is the latest.
        </div>
      )}
      {against.data !== undefined ? (
        <Comparison from={against.data} to={plan} />
      ) : (
        <div class="document">
          <Markdown text={plan.body} />
        </div>
      )}
    </section>
  );
}

function versionsTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => last - index);
}

function Comparison({ from, to }: { from: Plan; to: Plan }) {
  const lines = useMemo(() => compareTexts(from.body, to.body), [from.body, to.body]);
  return (
    <div class="file">
      <div class="file-head">
        Version {from.version} → version {to.version}
      </div>
      {lines.length === 0 ? (
        <p class="muted inset">No differences</p>
      ) : (
        <DiffLines lines={lines} label={`the plan from version ${from.version} to version ${to.version}`} />
      )}
    </div>
  );
}

function Approve({ ticket, version }: { ticket: Ticket; version: number }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  async function approve(): Promise<void> {
    setBusy(true);
    setProblem(undefined);
    try {
      const params = { path: { ticket_id: ticket.ticket_id } };
      await unwrap(
        api.POST('/v1/tickets/{ticket_id}/plan/approve', { params, body: { version }, headers: idempotencyHeader() }),
      );
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
    invalidate((path) => path.startsWith(`${queries.ticketPath(ticket.ticket_id)}/plan`));
  }
  return (
    <>
      <button type="button" class="primary" disabled={busy} onClick={() => void approve()}>
        Approve version {version}
      </button>
      {problem !== undefined && <ProblemBox problem={problem} />}
    </>
  );
}
