import { EventEmitter } from 'node:events';
import type { Usage } from '../../schemas/run.ts';

export type Measurements = {
  /** A git command is over; `command` is its subcommand. */
  git: [{ command: string; outcome: 'ok' | 'failed' | 'canceled' | 'timed_out'; seconds: number }];
  /** A ticket's agent was obtained: one that was there, a new one, or none. */
  agentStart: [{ agent: string; kind: 'warm' | 'cold' | 'failed'; seconds: number }];
  /** The model answered a call with a status, was not reached (`unreachable`), or nobody waited (`broken_off`). */
  modelCall: [{ model: string; status: number | 'unreachable' | 'broken_off'; seconds: number }];
  tokens: [{ model: string; usage: Usage }];
  /** A transaction of the store is durable. */
  commit: [{ writes: number; seconds: number }];
};

/**
 * Where modules say what they measured, whether anybody listens or not. Only what no event of a run tells; a listener
 * must not throw.
 */
export const measurements = new EventEmitter<Measurements>();

/** Seconds since a time of `performance.now()`. */
export function secondsSince(begun: number): number {
  return (performance.now() - begun) / 1000;
}
