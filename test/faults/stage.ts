import { randomUUID } from 'node:crypto';
import type { RunEvent } from '../../schemas/event.ts';
import type { Run } from '../../schemas/run.ts';
import type { Random } from '../attacks/random.ts';
import { type Answer, call, frames } from '../helpers/client.ts';
import type { Ledger } from './ledger.ts';
import type { FaultWorld } from './world.ts';

/** The state of one injection, which has its own ticket. */
export type Stage = {
  world: FaultWorld;
  ledger: Ledger;
  random: Random;
  ticketId: string;
  /** Number of events received so far; the point of injection may depend on it. */
  seen: number;
  /** Undoes the fault. */
  undo: (() => unknown)[];
  violations: string[];
  /** How often a backup was restored. */
  restores: number;
  /** Requests that received no answer. */
  unanswered: Post[];
};

/** Sends a request. Returns `undefined` when the server exits before it answers. */
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
    // A stopping server answers 503 and a full disk 507; a 500 is a bug.
    if (answer.status === 500) violations.push(`${method} ${path} answered 500: ${JSON.stringify(answer.body)}`);
    return answer;
  } catch {
    return undefined;
  }
}

/** A POST with an Idempotency-Key, which is repeated later when it gets no answer. */
export type Post = { path: string; body: unknown; key: string; onAnswer(answer: Answer<never>): void };

/**
 * Sends a POST that takes effect once, even if the server fails.
 * @param onAnswer receives the answer, now or when the request is repeated
 */
export async function post<T>(stage: Stage, path: string, body: unknown, onAnswer: (answer: Answer<T>) => void) {
  const request: Post = { path, body, key: randomUUID(), onAnswer };
  if (!(await send(stage, request))) stage.unanswered.push(request);
}

/** Repeats the requests that got no answer, with their keys. */
export async function repeatUnanswered(stage: Stage): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (const request of stage.unanswered.splice(0)) {
    while (!(await send(stage, request))) {
      if (Date.now() > deadline) {
        stage.violations.push(`POST ${request.path} got no answer when repeated`);
        break;
      }
      await pause(100);
    }
  }
}

/** Sends a request. Returns whether the answer is final. */
async function send(stage: Stage, { path, body, key, onAnswer }: Post): Promise<boolean> {
  const answer = await ask<never>(stage, 'POST', path, body, { 'idempotency-key': key });
  // The client retries when the server is stopping or still processes the request.
  if (answer === undefined || answer.status === 503) return false;
  const { code } = Object(answer.body);
  if (code === 'idempotency_in_progress') return false;
  if (code === 'idempotency_key_reused') stage.violations.push(`POST ${path} was mistaken for another request`);
  onAnswer(answer);
  return true;
}

/** Starts a run. A run whose id was returned must never be lost. */
export async function command(
  stage: Stage,
  request: { action: string; message?: string },
): Promise<string | undefined> {
  const { ledger, ticketId } = stage;
  let runId: string | undefined;
  await post<Run>(stage, `/v1/tickets/${ticketId}/runs`, request, ({ status, body }) => {
    if (status !== 202) return;
    runId = body.run_id;
    ledger.runs.set(runId, { ticketId, action: request.action });
  });
  return runId;
}

/** Cancels a run. After the acknowledgement, no attempt may start. */
export async function cancel(stage: Stage, runId: string): Promise<void> {
  await post<Run>(stage, `/v1/runs/${runId}/cancel`, undefined, ({ status, body }) => {
    if (status === 202) stage.ledger.canceled.set(runId, body.attempt);
  });
}

/** Reads a run's events into the ledger until the terminal event or a disconnect. Returns whether it got that event. */
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
      ledger.recordEvent(runId, event.seq, frame.data);
      stage.seen += 1;
      if (event.type === 'tool.updated' && event.data.status === 'completed') {
        for (const { path, new_text } of event.data.diff ?? [])
          ledger.files.push({ ticketId, path, content: new_text });
      }
      if (TERMINAL.test(event.type)) return true;
    }
  } catch {
    // The connection broke, or the reader was aborted.
  }
  return false;
}

export const TERMINAL = /^run\.(succeeded|failed|canceled|timed_out)$/;

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
