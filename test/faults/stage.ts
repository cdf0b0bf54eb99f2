import type { RunEvent } from '../../schemas/event.ts';
import type { Run } from '../../schemas/run.ts';
import type { Random } from '../attacks/random.ts';
import { type Answer, call, frames } from '../helpers/client.ts';
import type { Ledger } from './ledger.ts';
import type { FaultWorld } from './world.ts';

/** One injection: a ticket of its own, what was told about it, and what is put right when the fault is over. */
export type Stage = {
  world: FaultWorld;
  ledger: Ledger;
  random: Random;
  ticketId: string;
  /** Events seen so far; a fault may wait for one. */
  seen: number;
  /** Undoes what a fault arranged. */
  heal: (() => unknown)[];
  violations: string[];
};

/** A request that may meet a server that is just dying; `undefined` when there is no answer. */
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are read, as in the client of the tests
export async function ask<T = any>(
  { world, violations }: Stage,
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<Answer<T> | undefined> {
  try {
    const answer = await call<T>(world.server, method, path, body, headers);
    // A server that stops or has no disk says so with 503 or 507; anything else above 499 is a fault of its own.
    if (answer.status === 500) violations.push(`${method} ${path} answered 500: ${JSON.stringify(answer.body)}`);
    return answer;
  } catch {
    return undefined;
  }
}

/** Starts a run; once its id is known it must never be lost. */
export async function command(
  stage: Stage,
  request: { action: string; message?: string },
): Promise<string | undefined> {
  const answer = await ask<Run>(stage, 'POST', `/v1/tickets/${stage.ticketId}/runs`, request);
  if (answer?.status !== 202) return undefined;
  const runId = answer.body.run_id;
  stage.ledger.runs.set(runId, { ticketId: stage.ticketId, action: request.action });
  return runId;
}

/** Reads a run's events into the ledger until its end, or until the connection breaks. Gives whether it saw the end. */
export async function watch(stage: Stage, runId: string, signal?: AbortSignal, after = 0): Promise<boolean> {
  const { ledger, ticketId, world } = stage;
  let next = after + 1;
  try {
    const response = await fetch(new URL(`/v1/runs/${runId}/events`, world.server.url), {
      headers: after === 0 ? {} : { 'last-event-id': String(after) },
      ...(signal ? { signal } : {}),
    });
    for await (const frame of frames(response)) {
      if (frame.data === '' || frame.id === undefined) continue;
      const event: RunEvent = JSON.parse(frame.data);
      if (event.seq !== next) stage.violations.push(`the stream of ${runId} went from ${next - 1} to ${event.seq}`);
      next = event.seq + 1;
      ledger.saw(runId, event.seq, frame.data);
      stage.seen += 1;
      if (event.type === 'tool.updated' && event.data.status === 'completed') {
        for (const { path, new_text } of event.data.diff ?? [])
          ledger.files.push({ ticketId, path, content: new_text });
      }
      if (TERMINAL.test(event.type)) return true;
    }
  } catch {
    // The connection broke, or the reader was told to leave.
  }
  return false;
}

export const TERMINAL = /^run\.(succeeded|failed|canceled|timed_out)$/;

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
