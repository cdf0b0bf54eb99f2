import type { RunState } from '../../schemas/run.ts';

/** States of a run that has an attempt. */
export const ACTIVE_STATES = ['running', 'waiting'] as const satisfies RunState[];

/** States of a run that has not finished. */
export const OPEN_STATES = ['queued', ...ACTIVE_STATES] as const satisfies RunState[];

/** States in which a run never changes again. */
export const TERMINAL_STATES = ['succeeded', 'failed', 'canceled', 'timed_out'] as const satisfies RunState[];
