import { useLocation } from 'preact-iso';
import type { RunState } from '../../schemas/run.ts';
import { Empty, Loading, ProblemBox } from '../components/feedback.tsx';
import { LoadMore } from '../components/load-more.tsx';
import { ACTIONS, StateBadge } from '../components/state.tsx';
import { Ago, Elapsed } from '../components/time.tsx';
import { Title } from '../components/title.tsx';
import { compact } from '../lib/format.ts';
import { runs } from '../lib/queries.ts';
import { useList } from '../lib/resource.ts';

const STATES: readonly { state: RunState | ''; name: string }[] = [
  { state: '', name: 'All' },
  { state: 'running', name: 'Running' },
  { state: 'waiting', name: 'Needs approval' },
  { state: 'queued', name: 'Queued' },
  { state: 'failed', name: 'Failed' },
];

export function Runs() {
  const { query, route } = useLocation();
  const state = STATES.find((known) => known.state === query.state)?.state ?? '';
  const { data, problem, loading, loadMore } = useList(runs(state === '' ? undefined : state));
  return (
    <>
      <Title title="Runs" />
      <div class="toolbar">
        <fieldset class="segments">
          <legend class="hidden">Show</legend>
          {STATES.map((known) => (
            <button
              key={known.state}
              type="button"
              aria-pressed={known.state === state}
              onClick={() => route(`/dashboard/runs${known.state === '' ? '' : `?state=${known.state}`}`, true)}
            >
              {known.name}
            </button>
          ))}
        </fieldset>
      </div>
      {problem !== undefined && <ProblemBox problem={problem} />}
      {data === undefined && loading && <Loading label="runs" />}
      {data?.items.length === 0 && <Empty title={state === '' ? 'No runs yet' : 'No runs in this state'} />}
      {data !== undefined && data.items.length > 0 && (
        <ul class="rows runs" aria-label="Runs">
          {data.items.map((run) => (
            <li key={run.run_id}>
              <a href={`/dashboard/runs/${run.run_id}`} data-row>
                <span class="run-state">
                  <StateBadge state={run.state} />
                </span>
                <span class="run-action">{ACTIONS[run.action]}</span>
                <span class="ticket-id">{run.ticket_id}</span>
                <span class="run-text muted">{run.error?.title ?? run.message ?? ''}</span>
                <span class="run-tokens muted num">
                  {compact(run.usage.input_tokens + run.usage.output_tokens)} tokens
                </span>
                <span class="run-time muted">
                  {run.state === 'queued' ? (
                    `Position ${run.queue_position ?? 1}`
                  ) : run.started_at === undefined ? (
                    ''
                  ) : (
                    <Elapsed from={run.started_at} to={run.finished_at} />
                  )}
                </span>
                <span class="ticket-time muted">
                  <Ago time={run.created_at} />
                </span>
              </a>
            </li>
          ))}
        </ul>
      )}
      <LoadMore onClick={loadMore} />
    </>
  );
}
