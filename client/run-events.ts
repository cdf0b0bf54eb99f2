import type { EventSourceMessage } from 'eventsource-parser';
import type { components } from './api.ts';

/** An event of a run; `type` tells what its `data` is. */
export type RunEvent = components['schemas']['Event'];

const TERMINAL: ReadonlySet<string> = new Set<RunEvent['type']>([
  'run.succeeded',
  'run.failed',
  'run.canceled',
  'run.timed_out',
]);

/** Whether the event is the last of its run. */
export function isTerminal({ type }: RunEvent): boolean {
  return TERMINAL.has(type);
}

/** The server's own words are taken as they are: it checks them before it sends them. */
export function readRunEvent({ data }: EventSourceMessage): RunEvent {
  const event: RunEvent = JSON.parse(data);
  return event;
}
