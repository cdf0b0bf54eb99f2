import { useRef } from 'preact/hooks';
import { useRoute } from 'preact-iso';
import type { Run } from '../../schemas/run.ts';
import { Empty, Loading, ProblemBox } from '../components/feedback.tsx';
import { ACTIONS } from '../components/state.tsx';
import { Title } from '../components/title.tsx';
import { isFinished } from '../lib/live-updates.ts';
import * as queries from '../lib/queries.ts';
import { useResource } from '../lib/resource.ts';
import { useAutoScroll } from '../lib/use-auto-scroll.ts';
import { RunView } from './ticket/run-view.tsx';

/** Shows the page of a single run. */
export function RunScreen() {
  const { params } = useRoute();
  const { data: run, problem, loading } = useResource(queries.run(params.id ?? ''));
  if (problem?.code === 'run_not_found' || problem?.code === 'invalid_request') {
    return (
      <Empty title="Run not found">
        <p>
          Its ticket may have been deleted. See <a href="/dashboard/runs">all runs</a>.
        </p>
      </Empty>
    );
  }
  if (run === undefined)
    return problem !== undefined && !loading ? <ProblemBox problem={problem} /> : <Loading label="the run" />;
  return <SingleRun key={run.run_id} run={run} />;
}

function SingleRun({ run }: { run: Run }) {
  const end = useRef<HTMLDivElement>(null);
  const { scrolledUp, scrollToEnd } = useAutoScroll(end, !isFinished(run));
  return (
    <section class="conversation" aria-label="Run">
      <a class="back muted" href={`/dashboard/tickets/${run.ticket_id}`}>
        {run.ticket_id}
      </a>
      <Title title={`${ACTIONS[run.action]} run of ${run.ticket_id}`} />
      <p class="mono muted">
        {run.run_id} · {run.agent}
        {run.attempt > 1 && ` · attempt ${run.attempt}`}
        {run.plan_version !== undefined && ` · plan v${run.plan_version}`}
      </p>
      <RunView run={run} />
      <div ref={end} />
      {scrolledUp && !isFinished(run) && (
        <div class="dock">
          <button type="button" class="newest" onClick={scrollToEnd}>
            ↓ Jump to latest
          </button>
        </div>
      )}
    </section>
  );
}
