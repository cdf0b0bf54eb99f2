import { type Signal, signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { isTerminal, type RunEvent, readRunEvent } from '../../client/run-events.ts';
import type { Problem } from '../../schemas/problem.ts';
import { follow } from './event-stream.ts';
import { asProblem } from './problem.ts';
import { EMPTY_LOG, type RunLog, withEvents } from './run-log.ts';

/** Events are gathered for this long before they are drawn, so that a fast run costs no more than a slow one. */
const GATHER_MS = 50;

/** Logs that nobody looks at are kept up to this number, so that coming back to one shows it at once. */
const MOST_KEPT = 40;

type Followed = { log: RunLog; problem: Problem | undefined };
type Follower = { state: Signal<Followed>; readers: number; open(): void; close(): void };

const followers = new Map<string, Follower>();

/**
 * A run's log, followed until its end by one stream for all who look at it.
 * @param waits whether it is behind others in the queue: nothing happens in it then, and the browser has few connections
 */
export function useRunLog(runId: string, waits = false): Followed {
  const follower = followerOf(runId);
  useEffect(() => {
    if (waits) return;
    follower.readers++;
    follower.open();
    return () => {
      follower.readers--;
      if (follower.readers === 0) follower.close();
    };
  }, [follower, waits]);
  return follower.state.value;
}

/**
 * A hidden tab lets go of its streams, since a browser has few connections for all of its tabs, and goes on from the last
 * event when it is looked at again.
 */
document.addEventListener('visibilitychange', () => {
  for (const follower of followers.values()) {
    if (document.visibilityState === 'hidden') follower.close();
    else if (follower.readers > 0) follower.open();
  }
});

function followerOf(runId: string): Follower {
  const known = followers.get(runId);
  if (known !== undefined) return known;
  for (const [id, { readers }] of followers) {
    if (followers.size < MOST_KEPT) break;
    if (readers === 0) followers.delete(id);
  }
  const follower = createFollower(runId);
  followers.set(runId, follower);
  return follower;
}

function createFollower(runId: string): Follower {
  const state = signal<Followed>({ log: EMPTY_LOG, problem: undefined });
  let waiting: RunEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stream: { close(): void } | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (waiting.length === 0) return;
    state.value = { log: withEvents(state.value.log, waiting), problem: undefined };
    waiting = [];
  }

  return {
    state,
    readers: 0,
    open() {
      const { log } = state.value;
      if (log.ended !== undefined || stream !== undefined || document.visibilityState === 'hidden') return;
      stream = follow({
        path: `/v1/runs/${runId}/events`,
        ...(log.lastSeq === 0 ? {} : { lastId: String(log.lastSeq) }),
        read: readRunEvent,
        isLast: isTerminal,
        onEntry(event) {
          waiting.push(event);
          timer ??= setTimeout(flush, GATHER_MS);
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
