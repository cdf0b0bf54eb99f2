import { setTimeout as pause } from 'node:timers/promises';
import type { Run } from '../../../schemas/run.ts';
import { ERROR_CODES } from '../../../src/errors/error-codes.ts';
import { processesIn } from '../../helpers/processes.ts';
import type { Random } from '../random.ts';
import { MARK } from './planter.ts';
import { type App, type FuzzWorld, WAIT } from './world.ts';

/** After a cancel, nothing of what was canceled runs for longer; on a machine that does much at once, it takes its time. */
export const CANCEL_MS = Number(process.env.FUZZ_CANCEL_MS ?? 5000);
/** What nobody cancels has an answer by then: a few programs of the server, each with its limit of seconds. */
const ANSWER_MS = 200_000;
/** How long it takes a process to end that nobody waits for. */
const LOOK_MS = 50;

export type Stage = {
  world: FuzzWorld;
  server: { app: App; url: string };
  ticketId: string;
  random: Random;
  violations: string[];
  /** How often each operation was answered how. */
  count(operation: string, answer: string): void;
};

export type Operation = { weight: number; cancels?: boolean; run(stage: Stage): Promise<void> };

/** What a client can do with a ticket. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  diff: { weight: 3, run: async (stage) => void (await ask(stage, 'diff', 'GET', '/diff')) },
  view: { weight: 1, run: async (stage) => void (await ask(stage, 'view', 'GET', '')) },
  sync: { weight: 3, run: async (stage) => void (await ask(stage, 'sync', 'POST', '/sync')) },
  commit: { weight: 3, run: async (stage) => void (await carryOut(stage, 'commit', { action: 'dev' })) },
  chat: { weight: 1, run: async (stage) => void (await carryOut(stage, 'chat', { action: 'chat', message: 'hello' })) },
  'delete without force': { weight: 1, run: (stage) => removeUnforced(stage) },
  park: { weight: 2, run: park },
  'leave diff': { weight: 3, cancels: true, run: leaveDiff },
  cancel: { weight: 3, cancels: true, run: cancelRun },
};

/** Sends a request about the ticket of a stage, and judges the answer. */
export async function ask(
  stage: Stage,
  operation: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; text: string } | undefined> {
  const { server, ticketId } = stage;
  try {
    const response = await fetch(new URL(`/v1/tickets/${ticketId}${path}`, server.url), {
      method,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const text = await response.text();
    judge(stage, operation, response.status, text);
    return { status: response.status, text };
  } catch (error) {
    complain(stage, `${operation} was not answered: ${error}`);
    return undefined;
  }
}

export function complain(stage: Pick<Stage, 'ticketId' | 'violations'>, what: string): void {
  stage.violations.push(`${stage.ticketId}: ${what}`);
}

function judge(stage: Stage, operation: string, status: number, text: string): void {
  const { world } = stage;
  if (text.includes(world.canary)) complain(stage, `${operation} shows what is outside`);
  if (status < 400) {
    stage.count(operation, 'ok');
    return;
  }
  const { code, detail = '' }: { code: string; detail?: string } = JSON.parse(text);
  stage.count(operation, code);
  judgeError(stage, operation, code, detail);
}

function judgeError(stage: Stage, operation: string, code: string, detail: string): void {
  if (code === 'internal' || !(code in ERROR_CODES)) complain(stage, `${operation} failed: ${code}: ${detail}`);
  if (detail.includes(stage.world.dir)) complain(stage, `${operation} names a folder of the server: ${detail}`);
}

async function startRun(stage: Stage, operation: string, request: object): Promise<string | undefined> {
  const answer = await ask(stage, `start ${operation}`, 'POST', '/runs', request);
  if (answer?.status !== 202) return undefined;
  const { run_id }: { run_id: string } = JSON.parse(answer.text);
  return run_id;
}

/** Reads the events of a run to its end. */
async function endOf(stage: Stage, operation: string, runId: string, withinMs: number): Promise<void> {
  const { server, world } = stage;
  try {
    const signal = AbortSignal.timeout(withinMs);
    const events = await fetch(new URL(`/v1/runs/${runId}/events`, server.url), { signal });
    if ((await events.text()).includes(world.canary))
      complain(stage, `the events of ${operation} show what is outside`);
  } catch {
    return complain(stage, `${operation} did not end within ${withinMs} ms`);
  }
  const response = await fetch(new URL(`/v1/runs/${runId}`, server.url));
  const run: Run = JSON.parse(await response.text());
  stage.count(operation, run.error?.code ?? run.state);
  if (run.error) judgeError(stage, operation, run.error.code, run.error.detail ?? '');
}

async function carryOut(stage: Stage, operation: string, request: object): Promise<void> {
  const runId = await startRun(stage, operation, request);
  if (runId !== undefined) await endOf(stage, operation, runId, ANSWER_MS);
}

async function removeUnforced(stage: Stage): Promise<void> {
  await ask(stage, 'delete without force', 'DELETE', '');
}

async function park(stage: Stage): Promise<void> {
  const { server, ticketId } = stage;
  try {
    const reason = await server.app.workspaces.maintenance.park(ticketId, async () => true);
    stage.count('park', reason ?? 'parked');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'internal';
    stage.count('park', code);
    if (code !== 'ticket_not_found') judgeError(stage, 'park', code, String(error));
  }
}

/** A reader leaves before the answer. */
async function leaveDiff(stage: Stage): Promise<void> {
  const { server, ticketId, random } = stage;
  const left = new AbortController();
  const asking = fetch(new URL(`/v1/tickets/${ticketId}/diff`, server.url), { signal: left.signal }).catch(() => {});
  await pause(random.below(800));
  left.abort();
  await asking;
  await nothingRuns(stage, 'leave diff');
  stage.count('leave diff', 'left');
}

async function cancelRun(stage: Stage): Promise<void> {
  const { server, random } = stage;
  const request = random.chance(0.5) ? { action: 'dev' } : { action: 'dev', message: WAIT };
  const runId = await startRun(stage, 'cancel', request);
  if (runId === undefined) return;
  await pause(random.below(2000));
  await fetch(new URL(`/v1/runs/${runId}/cancel`, server.url), { method: 'POST' });
  await endOf(stage, 'cancel', runId, CANCEL_MS);
  await nothingRuns(stage, 'cancel');
}

/** What was begun for the ticket is gone in time, but for who planted the tree. */
async function nothingRuns(stage: Stage, operation: string): Promise<void> {
  const { world, ticketId } = stage;
  const until = Date.now() + CANCEL_MS;
  const left = () =>
    [world.path('tickets', ticketId), world.path('data', 'conversations', ticketId)]
      .flatMap((folder) => processesIn(`${folder} `).concat(processesIn(`${folder}/`)))
      .filter(({ command }) => !command.includes(MARK));
  for (let found = left(); found.length > 0; found = left()) {
    if (Date.now() > until) {
      return complain(
        stage,
        `after ${operation}, this runs still: ${found.map(({ command }) => command.slice(0, 200))}`,
      );
    }
    await pause(LOOK_MS);
  }
}
