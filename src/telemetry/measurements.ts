import { EventEmitter } from 'node:events';
import type { Usage } from '../../schemas/run.ts';

/**
 * Where the agent of a turn came from: it was there (`warm`), waited as a spare of a new ticket, had been started early for
 * it, or was started now (`cold`); or there was none (`failed`).
 */
export type AgentStart = 'warm' | 'spare' | 'early' | 'cold' | 'failed';

export type Measurements = {
  /** A git command is over; `command` is its subcommand. */
  git: [{ command: string; outcome: 'ok' | 'failed' | 'canceled' | 'timed_out'; seconds: number }];
  agentStart: [{ agent: string; kind: AgentStart; seconds: number }];
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
