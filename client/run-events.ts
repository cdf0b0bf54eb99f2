import type { EventSourceMessage } from 'eventsource-parser';
import type { components } from './api.ts';

/** An event of a run; `type` discriminates `data`. */
export type RunEvent = components['schemas']['Event'];

const TERMINAL: ReadonlySet<string> = new Set<RunEvent['type']>([
  'run.succeeded',
  'run.failed',
  'run.canceled',
  'run.timed_out',
]);

/** Tests whether the event is the last one of its run. */
export function isTerminal({ type }: RunEvent): boolean {
  return TERMINAL.has(type);
}

/** Parses an event without validation: the server validates what it sends. */
export function readRunEvent({ data }: EventSourceMessage): RunEvent {
  const event: RunEvent = JSON.parse(data);
  return event;
}
