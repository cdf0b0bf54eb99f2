import { randomUUID } from 'node:crypto';
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
  /** How often everything was lost but for a backup. */
  restores: number;
  /** What the client sent and got no answer to. */
  unanswered: Post[];
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

/** A POST of a client with an Idempotency-Key; without an answer, it is repeated later. */
export type Post = { path: string; body: unknown; key: string; told(answer: Answer<never>): void };

/**
 * Sends a POST that is carried out once, whatever happens to the server.
 * @param told what the client learns from the answer, now or when it repeats the request
 */
export async function post<T>(stage: Stage, path: string, body: unknown, told: (answer: Answer<T>) => void) {
  const request: Post = { path, body, key: randomUUID(), told };
  if (!(await send(stage, request))) stage.unanswered.push(request);
}

/** As a client does that got no answer: the same requests again, with their keys. */
export async function repeatUnanswered(stage: Stage): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (const request of stage.unanswered.splice(0)) {
    while (!(await send(stage, request))) {
      if (Date.now() > deadline) {
        stage.violations.push(`POST ${request.path} is not answered when it is repeated`);
        break;
      }
      await pause(100);
    }
  }
}

/** Whether there was an answer that settles the request. */
async function send(stage: Stage, { path, body, key, told }: Post): Promise<boolean> {
  const answer = await ask<never>(stage, 'POST', path, body, { 'idempotency-key': key });
  // A server that stops, or still works on the request, says to come again.
  if (answer === undefined || answer.status === 503) return false;
  const { code } = Object(answer.body);
  if (code === 'idempotency_in_progress') return false;
  if (code === 'idempotency_key_reused') stage.violations.push(`POST ${path} was taken for another request`);
  told(answer);
  return true;
}

/** Starts a run; once its id is known it must never be lost. */
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

/** Once a cancel is acknowledged, no attempt is begun any more. */
export async function cancel(stage: Stage, runId: string): Promise<void> {
  await post<Run>(stage, `/v1/runs/${runId}/cancel`, undefined, ({ status, body }) => {
    if (status === 202) stage.ledger.canceled.set(runId, body.attempt);
  });
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
