import { type RunEvent, TERMINAL_EVENTS } from '../../schemas/event.ts';
import type { Action } from '../../schemas/run.ts';
import type { Metrics } from './metrics.ts';

/** Facts of a run that its events do not contain. */
export type RunFacts = { action: Action; created_at: string; started_at: string | null };

/** An unfinished run. `fromStart`: its first attempt started in this process. */
type Watched = { facts: Promise<RunFacts | undefined>; fromStart: boolean; output: boolean; text: boolean };

/** The events that show output of the agent. */
const OUTPUT: ReadonlySet<string> = new Set(['thought.delta', 'message.delta', 'tool.started', 'plan.entries']);

/**
 * Derives metrics from events. The returned function takes every batch that is appended, so it does little for pieces of text,
 * which most events are.
 * @param lookUp reads the facts of a run; called once per run
 */
export function createRunMetrics(metrics: Metrics, lookUp: (runId: string) => Promise<RunFacts | undefined>) {
  const open = new Map<string, Watched>();

  function watch(runId: string): Watched {
    const watched = open.get(runId) ?? {
      facts: lookUp(runId).catch(() => undefined),
      fromStart: false,
      output: false,
      text: false,
    };
    open.set(runId, watched);
    return watched;
  }

  /** Observes the time from the request of the run to an event. */
  function sinceRequest({ facts }: Watched, histogram: Metrics['queueWait'], { time }: RunEvent): void {
    void facts.then((found) => {
      if (found === undefined) return;
      const seconds = (Date.parse(time) - Date.parse(found.created_at)) / 1000;
      histogram.observe({ action: found.action }, Math.max(0, seconds));
    });
  }

  function observeEnd({ facts }: Watched, event: RunEvent): void {
    if (!('usage' in event.data) || !('duration_ms' in event.data)) return;
    const { duration_ms } = event.data;
    const outcome = event.type.slice('run.'.length);
    if ('error' in event.data) metrics.runErrors.inc({ code: event.data.error.code });
    void facts.then((found) => {
      if (found === undefined) return;
      metrics.runsEnded.inc({ action: found.action, outcome });
      // A run that was canceled in the queue has no duration.
      if (found.started_at !== null) {
        metrics.runDuration.observe({ action: found.action, outcome }, duration_ms / 1000);
      }
    });
  }

  function observe(watched: Watched, event: RunEvent): void {
    if (!watched.output && OUTPUT.has(event.type)) {
      watched.output = true;
      if (watched.fromStart) sinceRequest(watched, metrics.firstEvent, event);
    }
    if (event.type === 'message.delta') {
      if (watched.text) return;
      watched.text = true;
      if (watched.fromStart) sinceRequest(watched, metrics.firstText, event);
    } else if (event.type === 'run.started') {
      watched.fromStart = event.data.attempt === 1;
      if (watched.fromStart) sinceRequest(watched, metrics.queueWait, event);
    } else if (event.type === 'step.finished') {
      metrics.stepDuration.observe({ step: event.data.step }, event.data.duration_ms / 1000);
    } else if (TERMINAL_EVENTS.has(event.type)) {
      open.delete(event.run_id);
      observeEnd(watched, event);
    }
  }

  return (runId: string, events: readonly RunEvent[]): void => {
    metrics.events.inc(events.length);
    const watched = watch(runId);
    for (const event of events) observe(watched, event);
  };
}
