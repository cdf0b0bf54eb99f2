import { EventEmitter } from 'node:events';
import type { Usage } from '../../schemas/run.ts';

/**
 * Origin of the agent of a turn: the ticket's own (`warm`), a spare one (`spare`), one prestarted for an approved plan (`early`),
 * a new one (`cold`), or none (`failed`).
 */
export type AgentStart = 'warm' | 'spare' | 'early' | 'cold' | 'failed';

export type Measurements = {
  /** A git command has finished; `command` is its subcommand. */
  git: [{ command: string; outcome: 'ok' | 'failed' | 'canceled' | 'timed_out'; seconds: number }];
  agentStart: [{ agent: string; kind: AgentStart; seconds: number }];
  /** A model call has finished: with an HTTP status, `unreachable`, or `broken_off` when the agent did not wait. */
  modelCall: [{ model: string; status: number | 'unreachable' | 'broken_off'; seconds: number }];
  tokens: [{ model: string; usage: Usage }];
  /** A transaction of the store is durable. */
  commit: [{ writes: number; seconds: number }];
};

/** Emits measurements that the events of runs do not contain. A listener must not throw. */
export const measurements = new EventEmitter<Measurements>();

/** Returns the seconds since a time of `performance.now()`. */
export function secondsSince(begun: number): number {
  return (performance.now() - begun) / 1000;
}
