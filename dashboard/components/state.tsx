import type { Action, RunState } from '../../schemas/run.ts';

const STATES: Record<RunState, { label: string; tone: string }> = {
  queued: { label: 'Queued', tone: 'wait' },
  running: { label: 'Running', tone: 'busy' },
  waiting: { label: 'Needs approval', tone: 'ask' },
  succeeded: { label: 'Succeeded', tone: 'good' },
  failed: { label: 'Failed', tone: 'bad' },
  canceled: { label: 'Canceled', tone: 'off' },
  timed_out: { label: 'Timed out', tone: 'bad' },
};

export const ACTIONS: Record<Action, string> = { chat: 'Chat', make_plan: 'Plan', dev: 'Dev' };

/** Shows a state by text and shape, not by color alone. */
export function StateBadge({ state }: { state: RunState }) {
  const { label, tone } = STATES[state];
  return (
    <span class={`badge ${tone}`}>
      <span class="dot" aria-hidden="true" />
      {label}
    </span>
  );
}

export function Badge({ tone, children }: { tone: string; children: string }) {
  return (
    <span class={`badge ${tone}`}>
      <span class="dot" aria-hidden="true" />
      {children}
    </span>
  );
}
