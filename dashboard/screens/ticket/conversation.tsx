import { useEffect, useRef } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import type { Run } from '../../../schemas/run.ts';
import type { Ticket } from '../../../schemas/ticket.ts';
import { Empty, Loading, ProblemBox } from '../../components/feedback.tsx';
import type { useList } from '../../lib/resource.ts';
import { useAutoScroll } from '../../lib/use-auto-scroll.ts';
import { Composer } from './composer.tsx';
import { RunView } from './run-view.tsx';

type Runs = ReturnType<typeof useList<Run>>;

/** Shows the runs of a ticket, oldest first, and the form that starts a run. */
export function Conversation({ ticket, runs }: { ticket: Ticket; runs: Runs }) {
  const { query } = useLocation();
  const end = useRef<HTMLDivElement>(null);
  const { scrolledUp, scrollToEnd } = useAutoScroll(end, query.run === undefined);
  const items = [...(runs.data?.items ?? [])].reverse();

  useEffect(() => {
    if (query.run !== undefined && runs.data !== undefined)
      document.getElementById(`run-${query.run}`)?.scrollIntoView();
  }, [query.run, runs.data === undefined]);

  return (
    <section class="conversation" aria-label="Conversation">
      {runs.problem !== undefined && <ProblemBox problem={runs.problem} />}
      {runs.data === undefined && runs.loading && <Loading label="the conversation" />}
      {runs.loadMore !== undefined && (
        <button type="button" class="center" onClick={runs.loadMore}>
          Show earlier runs
        </button>
      )}
      {runs.data !== undefined && items.length === 0 && (
        <Empty title="No messages yet">
          <p>Ask about the code, or make a plan from the ticket.</p>
        </Empty>
      )}
      {items.map((run) => (
        <RunView key={run.run_id} run={run} />
      ))}
      <div ref={end} />
      <div class="dock">
        {scrolledUp && (
          <button type="button" class="newest" onClick={scrollToEnd}>
            ↓ Jump to latest
          </button>
        )}
        <Composer ticket={ticket} onSent={scrollToEnd} />
      </div>
    </section>
  );
}
