import type { Run } from '../../schemas/run.ts';
import { createRandom, type Random } from '../attacks/random.ts';
import { call } from '../helpers/client.ts';
import { type ClientAction, clientActions, createTicket, script } from './actions.ts';
import { watchAgents } from './agent-watch.ts';
import type { Fault } from './faults.ts';
import { watchFeed } from './feed-watch.ts';
import { checkTicket, checkWorld, secretsSeen } from './invariants.ts';
import type { Ledger } from './ledger.ts';
import { ask, command, pause, repeatUnanswered, type Stage, watch } from './stage.ts';
import { answerPermissions } from './tend.ts';
import type { FaultWorld } from './world.ts';

/** How long a run may take to finish after the fault. */
const RUN_TIMEOUT_MS = 100_000;

/** How long to wait for the point of injection. */
const POINT_TIMEOUT_MS = 15_000;

export type Outcome = { outcomes: string[]; violations: string[] };

/** Injects a fault at a random point of an action, and checks the invariants afterwards. */
export async function inject(
  { world, ledger }: { world: FaultWorld; ledger: Ledger },
  {
    fault,
    action,
    seed,
    ticketId,
  }: { fault: Fault; action: keyof typeof clientActions; seed: number; ticketId: string },
): Promise<Outcome> {
  const random = createRandom(seed);
  const stage: Stage = {
    world,
    ledger,
    random,
    ticketId,
    seen: 0,
    undo: [],
    violations: [],
    restores: 0,
    unanswered: [],
  };
  const client = clientActions[action];
  const agents = watchAgents(world);
  const feed = watchFeed(stage);
  const person = answerPermissions(stage);
  try {
    script(stage);
    await client.prepare?.(stage);
    stage.seen = 0;
    fault.arm?.(stage);
    const point = choosePoint(random, client);
    const acting = client.act(stage);
    await Promise.race([waitForPoint(stage, point), acting]);
    await fault.strike?.(stage);
    await withTimeout(stage, acting, 'the client received neither an answer nor a disconnect');
    await ensureServer(stage);
    // A client may retry at once, or long after its run has finished.
    if (random.chance(0.5)) await repeatUnanswered(stage);
    await waitForRuns(stage);
    stage.violations.push(...(await checkTicket(stage)), ...(await checkWorld(stage)));
    await repeatUnanswered(stage);
    const outcomes = await waitForRuns(stage);
    await checkUsable(stage, action);
    stage.violations.push(...(await checkTicket(stage)), ...(await feed.stop()), ...secretsSeen(stage));
    return { outcomes, violations: [...new Set([...stage.violations, ...agents.stop()])] };
  } catch (error) {
    const text = error instanceof Error ? `${error.stack}` : String(error);
    return { outcomes: [], violations: [...stage.violations, ...agents.stop(), `the harness gave up: ${text}`] };
  } finally {
    await Promise.all([person.stop(), feed.stop()]);
    for (const undo of stage.undo.splice(0)) await undo();
  }
}

type Point = { events: number } | { ms: number } | { requests: number };

/** Chooses a number of events, a time, or a number of requests to GitHub. */
function choosePoint(random: Random, { events, ms }: ClientAction): Point {
  if (events > 0 && random.chance(0.5)) return { events: random.below(events) };
  if (random.chance(0.3)) return { requests: 1 + random.below(events > 20 ? 14 : 4) };
  return { ms: random.below(ms) };
}

/** Waits for the point, or for the timeout: a blocked action never reaches some points. */
async function waitForPoint(stage: Stage, point: Point): Promise<void> {
  const { world, random } = stage;
  const [start, before] = [Date.now(), world.github.requests.length];
  const isReached = () => {
    if ('ms' in point) return Date.now() >= start + point.ms;
    if ('events' in point) return stage.seen >= point.events;
    return world.github.requests.length >= before + point.requests;
  };
  while (!isReached() && Date.now() < start + POINT_TIMEOUT_MS) await pause(1);
  await pause(random.below(20));
}

async function withTimeout(stage: Stage, promise: Promise<unknown>, problem: string): Promise<void> {
  const timer = new AbortController();
  const late = pause(RUN_TIMEOUT_MS).then(() => !timer.signal.aborted && stage.violations.push(problem));
  await Promise.race([promise, late]);
  timer.abort();
}

/** Undoes the fault, and starts a server when none is running. */
async function ensureServer(stage: Stage): Promise<void> {
  const { world, violations } = stage;
  for (const undo of stage.undo.splice(0)) await undo();
  if (!world.isUp()) {
    const orphans = await world.orphans();
    violations.push(...orphans.map((orphan) => `a process outlived its server: ${orphan}`));
    violations.push(...(await world.storeProblems()).map((problem) => `the store is damaged: ${problem}`));
    await world.start();
  }
}

/** Waits until the ticket's runs finish. Returns the outcome of each. */
async function waitForRuns(stage: Stage): Promise<string[]> {
  const { world } = stage;
  // A later attempt may hang at the model again.
  const releasing = setInterval(() => world.gemini.release(), 200);
  try {
    return await outcomesOf(stage);
  } finally {
    clearInterval(releasing);
  }
}

async function outcomesOf(stage: Stage): Promise<string[]> {
  const { world, ticketId, violations } = stage;
  await waitUntilReady(stage);
  const { status, body } = await call(world.server, 'GET', `/v1/tickets/${ticketId}/runs?limit=100`);
  if (status !== 200) return [];
  const outcomes: string[] = [];
  for (const run of body.items as Run[]) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), RUN_TIMEOUT_MS);
    const isFinished = await watch(stage, run.run_id, abort.signal);
    clearTimeout(timer);
    const { state, error } = (await call<Run>(world.server, 'GET', `/v1/runs/${run.run_id}`)).body;
    if (!isFinished) violations.push(`${run.run_id} (${run.action}) is ${state} and does not finish`);
    outcomes.push(error === undefined ? state : `${state}:${error.code}`);
  }
  return outcomes;
}

/** Waits until the ticket is neither being created nor being deleted. */
async function waitUntilReady({ world, ticketId }: Stage): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const { body } = await call(world.server, 'GET', `/v1/tickets/${ticketId}`);
    if (body.state === undefined || body.state === 'ready') return;
    await pause(50);
  }
}

/** Checks that the ticket is usable: it is created again if it was deleted, `chat` answers and `dev` publishes. */
async function checkUsable(stage: Stage, action: string): Promise<void> {
  const { world, ledger, ticketId, violations, random } = stage;
  const { status } = await call(world.server, 'GET', `/v1/tickets/${ticketId}`);
  if (status === 404) {
    ledger.tickets.delete(ticketId);
    for (const [runId, run] of ledger.runs) if (run.ticketId === ticketId) ledger.runs.delete(runId);
    ledger.files.splice(0, ledger.files.length, ...ledger.files.filter((file) => file.ticketId !== ticketId));
    await createTicket(stage);
    if (!ledger.ticket(ticketId).created) violations.push(`${ticketId} cannot be created again`);
  }
  const requests: { action: string; message: string }[] = [{ action: 'chat', message: 'are you there' }];
  if (action === 'dev' || random.chance(0.2)) requests.push({ action: 'dev', message: 'once more' });
  for (const request of requests) {
    const runId = await command(stage, request);
    if (runId === undefined) {
      violations.push(`${ticketId} accepts no new ${request.action}`);
      continue;
    }
    await withTimeout(stage, watch(stage, runId), `the new ${request.action} of ${ticketId} does not finish`);
    const answer = await ask<Run>(stage, 'GET', `/v1/runs/${runId}`);
    const { state, error, result } = answer?.body ?? {};
    if (state !== 'succeeded')
      violations.push(`the new ${request.action} of ${ticketId} ${state}: ${JSON.stringify(error)}`);
    if (request.action === 'chat' && state === 'succeeded' && !result?.text?.includes(`${ticketId} is there`)) {
      violations.push(`the new chat of ${ticketId} was answered with ${result?.text}`);
    }
    if (request.action === 'dev' && state === 'succeeded' && !isPublished(stage)) {
      violations.push(`the new dev of ${ticketId} succeeded without an open pull request`);
    }
  }
}

function isPublished({ world, ticketId }: Stage): boolean {
  return world.github
    .pulls('acme/duration')
    .some(({ head, state }) => head === `ticket_${ticketId}` && state === 'open');
}
