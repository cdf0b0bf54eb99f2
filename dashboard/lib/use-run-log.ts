import { type Signal, signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { isTerminal, type RunEvent, readRunEvent } from '../../client/run-events.ts';
import type { Problem } from '../../schemas/problem.ts';
import { openStream } from './event-stream.ts';
import { asProblem } from './problem.ts';
import { appendEvents, EMPTY_LOG, type RunLog } from './run-log.ts';

/** Events of this interval are rendered together, so that a fast run costs no more than a slow one. */
const COALESCE_MS = 50;

/** Logs without readers are deleted beyond this number. */
const MAX_CACHED_LOGS = 40;

type RunLogState = { log: RunLog; problem: Problem | undefined };
type Subscription = { state: Signal<RunLogState>; readers: number; open(): void; close(): void };

const subscriptions = new Map<string, Subscription>();

/**
 * Follows the log of a run up to its terminal event. Components that follow the same run share one stream.
 * @param paused true while the run has no events, such as in the queue; browsers limit the number of connections
 */
export function useRunLog(runId: string, paused = false): RunLogState {
  const subscription = subscriptionOf(runId);
  useEffect(() => {
    if (paused) return;
    subscription.readers++;
    subscription.open();
    return () => {
      subscription.readers--;
      if (subscription.readers === 0) subscription.close();
    };
  }, [subscription, paused]);
  return subscription.state.value;
}

// A hidden tab closes its streams, since all tabs share a limited number of connections. A visible one resumes them.
document.addEventListener('visibilitychange', () => {
  for (const subscription of subscriptions.values()) {
    if (document.visibilityState === 'hidden') subscription.close();
    else if (subscription.readers > 0) subscription.open();
  }
});

function subscriptionOf(runId: string): Subscription {
  const known = subscriptions.get(runId);
  if (known !== undefined) return known;
  for (const [id, { readers }] of subscriptions) {
    if (subscriptions.size < MAX_CACHED_LOGS) break;
    if (readers === 0) subscriptions.delete(id);
  }
  const subscription = createSubscription(runId);
  subscriptions.set(runId, subscription);
  return subscription;
}

function createSubscription(runId: string): Subscription {
  const state = signal<RunLogState>({ log: EMPTY_LOG, problem: undefined });
  let pending: RunEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stream: { close(): void } | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (pending.length === 0) return;
    state.value = { log: appendEvents(state.value.log, pending), problem: undefined };
    pending = [];
  }

  return {
    state,
    readers: 0,
    open() {
      const { log } = state.value;
      if (log.terminal !== undefined || stream !== undefined || document.visibilityState === 'hidden') return;
      stream = openStream({
        path: `/v1/runs/${runId}/events`,
        ...(log.lastSeq === 0 ? {} : { lastId: String(log.lastSeq) }),
        read: readRunEvent,
        isLast: isTerminal,
        onEntry(event) {
          pending.push(event);
          timer ??= setTimeout(flush, COALESCE_MS);
        },
        onRefused(refusal) {
          state.value = { ...state.value, problem: asProblem(refusal) };
        },
      });
    },
    close() {
      stream?.close();
      stream = undefined;
      flush();
    },
  };
}
