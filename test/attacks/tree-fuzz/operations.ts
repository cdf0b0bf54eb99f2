import { setTimeout as pause } from 'node:timers/promises';
import type { Run } from '../../../schemas/run.ts';
import { ERROR_CODES } from '../../../src/errors/error-codes.ts';
import { processesIn } from '../../helpers/processes.ts';
import type { Random } from '../random.ts';
import { MARK } from './planter.ts';
import { type App, type FuzzWorld, WAIT } from './world.ts';

/** How long processes may run after a cancellation. A busy machine needs more. */
export const CANCEL_MS = Number(process.env.FUZZ_CANCEL_MS ?? 5000);
/** How long an operation may take: a few programs of the server, each with its own timeout. */
const ANSWER_TIMEOUT_MS = 200_000;
const POLL_INTERVAL_MS = 50;

export type Stage = {
  world: FuzzWorld;
  server: { app: App; url: string };
  ticketId: string;
  random: Random;
  violations: string[];
  /** Counts an answer of an operation. */
  count(operation: string, answer: string): void;
};

export type Operation = { weight: number; cancels?: boolean; run(stage: Stage): Promise<void> };

/** The operations of a client on a ticket. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  diff: { weight: 3, run: async (stage) => void (await ask(stage, 'diff', 'GET', '/diff')) },
  view: { weight: 1, run: async (stage) => void (await ask(stage, 'view', 'GET', '')) },
  sync: { weight: 3, run: async (stage) => void (await ask(stage, 'sync', 'POST', '/sync')) },
  commit: { weight: 3, run: async (stage) => void (await runToEnd(stage, 'commit', { action: 'dev' })) },
  chat: { weight: 1, run: async (stage) => void (await runToEnd(stage, 'chat', { action: 'chat', message: 'hello' })) },
  'delete without force': { weight: 1, run: (stage) => removeUnforced(stage) },
  park: { weight: 2, run: park },
  'abort diff': { weight: 3, cancels: true, run: abortDiff },
  cancel: { weight: 3, cancels: true, run: cancelRun },
};

/** Sends a request about the ticket and judges the answer. */
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
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    const text = await response.text();
    judge(stage, operation, response.status, text);
    return { status: response.status, text };
  } catch (error) {
    report(stage, `${operation} got no answer: ${error}`);
    return undefined;
  }
}

export function report(stage: Pick<Stage, 'ticketId' | 'violations'>, problem: string): void {
  stage.violations.push(`${stage.ticketId}: ${problem}`);
}

function judge(stage: Stage, operation: string, status: number, text: string): void {
  const { world } = stage;
  if (text.includes(world.canary)) report(stage, `${operation} shows content from outside`);
  if (status < 400) {
    stage.count(operation, 'ok');
    return;
  }
  const { code, detail = '' }: { code: string; detail?: string } = JSON.parse(text);
  stage.count(operation, code);
  judgeError(stage, operation, code, detail);
}

function judgeError(stage: Stage, operation: string, code: string, detail: string): void {
  if (code === 'internal' || !(code in ERROR_CODES)) report(stage, `${operation} failed: ${code}: ${detail}`);
  if (detail.includes(stage.world.dir)) report(stage, `${operation} reveals a folder of the server: ${detail}`);
}

async function startRun(stage: Stage, operation: string, request: object): Promise<string | undefined> {
  const answer = await ask(stage, `start ${operation}`, 'POST', '/runs', request);
  if (answer?.status !== 202) return undefined;
  const { run_id }: { run_id: string } = JSON.parse(answer.text);
  return run_id;
}

/** Reads the events of a run until the stream closes. */
async function readToEnd(stage: Stage, operation: string, runId: string, withinMs: number): Promise<void> {
  const { server, world } = stage;
  try {
    const signal = AbortSignal.timeout(withinMs);
    const events = await fetch(new URL(`/v1/runs/${runId}/events`, server.url), { signal });
    if ((await events.text()).includes(world.canary))
      report(stage, `the events of ${operation} show content from outside`);
  } catch {
    return report(stage, `${operation} did not finish within ${withinMs} ms`);
  }
  const response = await fetch(new URL(`/v1/runs/${runId}`, server.url));
  const run: Run = JSON.parse(await response.text());
  stage.count(operation, run.error?.code ?? run.state);
  if (run.error) judgeError(stage, operation, run.error.code, run.error.detail ?? '');
}

async function runToEnd(stage: Stage, operation: string, request: object): Promise<void> {
  const runId = await startRun(stage, operation, request);
  if (runId !== undefined) await readToEnd(stage, operation, runId, ANSWER_TIMEOUT_MS);
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

/** Requests a diff and disconnects before the answer. */
async function abortDiff(stage: Stage): Promise<void> {
  const { server, ticketId, random } = stage;
  const abort = new AbortController();
  const reading = fetch(new URL(`/v1/tickets/${ticketId}/diff`, server.url), { signal: abort.signal }).catch(() => {});
  await pause(random.below(800));
  abort.abort();
  await reading;
  await checkNoProcesses(stage, 'abort diff');
  stage.count('abort diff', 'aborted');
}

async function cancelRun(stage: Stage): Promise<void> {
  const { server, random } = stage;
  const request = random.chance(0.5) ? { action: 'dev' } : { action: 'dev', message: WAIT };
  const runId = await startRun(stage, 'cancel', request);
  if (runId === undefined) return;
  await pause(random.below(2000));
  await fetch(new URL(`/v1/runs/${runId}/cancel`, server.url), { method: 'POST' });
  await readToEnd(stage, 'cancel', runId, CANCEL_MS);
  await checkNoProcesses(stage, 'cancel');
}

/** Checks that all processes of the ticket exit in time, but for those that plant the tree. */
async function checkNoProcesses(stage: Stage, operation: string): Promise<void> {
  const { world, ticketId } = stage;
  const until = Date.now() + CANCEL_MS;
  const left = () =>
    [world.path('tickets', ticketId), world.path('data', 'conversations', ticketId)]
      .flatMap((folder) => processesIn(`${folder} `).concat(processesIn(`${folder}/`)))
      .filter(({ command }) => !command.includes(MARK));
  for (let found = left(); found.length > 0; found = left()) {
    if (Date.now() > until) {
      return report(
        stage,
        `after ${operation}, these processes still run: ${found.map(({ command }) => command.slice(0, 200))}`,
      );
    }
    await pause(POLL_INTERVAL_MS);
  }
}
