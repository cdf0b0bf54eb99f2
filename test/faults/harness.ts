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
import { tend } from './tend.ts';
import type { FaultWorld } from './world.ts';

/** How long a run may take to end once nothing hinders it any more, in milliseconds. */
const SETTLE_MS = 100_000;

/** How long a point of an action is waited for, in milliseconds. */
const REACH_MS = 15_000;

export type Outcome = { ended: string[]; violations: string[] };

/** One injection into a world: an action, a fault at a random point of it, and what must be true afterwards. */
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
    heal: [],
    violations: [],
    restores: 0,
    unanswered: [],
  };
  const client = clientActions[action];
  const agents = watchAgents(world);
  const feed = watchFeed(stage);
  const person = tend(stage);
  try {
    script(stage);
    await client.prepare?.(stage);
    stage.seen = 0;
    fault.arm?.(stage);
    const point = choosePoint(random, client);
    const acting = client.act(stage);
    await Promise.race([reach(stage, point), acting]);
    await fault.strike?.(stage);
    await within(stage, acting, 'the client was neither answered nor cut off');
    await bringBack(stage);
    // Either is what a client may do: come back at once, or when what it began is long over.
    if (random.chance(0.5)) await repeatUnanswered(stage);
    await settle(stage);
    stage.violations.push(...(await checkTicket(stage)), ...(await checkWorld(stage)));
    await repeatUnanswered(stage);
    const ended = await settle(stage);
    await useAgain(stage, action);
    stage.violations.push(...(await checkTicket(stage)), ...(await feed.stop()), ...secretsSeen(stage));
    return { ended, violations: [...new Set([...stage.violations, ...agents.stop()])] };
  } catch (error) {
    const text = error instanceof Error ? `${error.stack}` : String(error);
    return { ended: [], violations: [...stage.violations, ...agents.stop(), `the harness gave up: ${text}`] };
  } finally {
    await Promise.all([person.stop(), feed.stop()]);
    for (const heal of stage.heal.splice(0)) await heal();
  }
}

type Point = { events: number } | { ms: number } | { requests: number };

/** After some event was seen, some time, or some requests to GitHub. */
function choosePoint(random: Random, { events, ms }: ClientAction): Point {
  if (events > 0 && random.chance(0.5)) return { events: random.below(events) };
  if (random.chance(0.3)) return { requests: 1 + random.below(events > 20 ? 14 : 4) };
  return { ms: random.below(ms) };
}

/** An action that is held up never gets to some points; it is struck where it is then. */
async function reach(stage: Stage, point: Point): Promise<void> {
  const { world, random } = stage;
  const [start, before] = [Date.now(), world.github.requests.length];
  const isThere = () => {
    if ('ms' in point) return Date.now() >= start + point.ms;
    if ('events' in point) return stage.seen >= point.events;
    return world.github.requests.length >= before + point.requests;
  };
  while (!isThere() && Date.now() < start + REACH_MS) await pause(1);
  await pause(random.below(20));
}

async function within(stage: Stage, work: Promise<unknown>, problem: string): Promise<void> {
  const timer = new AbortController();
  const late = pause(SETTLE_MS).then(() => !timer.signal.aborted && stage.violations.push(problem));
  await Promise.race([work, late]);
  timer.abort();
}

/** Puts things right and brings a server back, when there is none. */
async function bringBack(stage: Stage): Promise<void> {
  const { world, violations } = stage;
  for (const heal of stage.heal.splice(0)) await heal();
  if (!world.isUp()) {
    const orphans = await world.orphans();
    violations.push(...orphans.map((orphan) => `a process outlived its server: ${orphan}`));
    violations.push(...(await world.storeProblems()).map((problem) => `the store is damaged: ${problem}`));
    await world.start();
  }
}

/** Waits for the ends of the ticket's runs. Gives how each ended. */
async function settle(stage: Stage): Promise<string[]> {
  const { world } = stage;
  // An attempt that is yet to come asks the model again.
  const releasing = setInterval(() => world.gemini.release(), 200);
  try {
    return await endsOf(stage);
  } finally {
    clearInterval(releasing);
  }
}

async function endsOf(stage: Stage): Promise<string[]> {
  const { world, ticketId, violations } = stage;
  await atRest(stage);
  const { status, body } = await call(world.server, 'GET', `/v1/tickets/${ticketId}/runs?limit=100`);
  if (status !== 200) return [];
  const ended: string[] = [];
  for (const run of body.items as Run[]) {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), SETTLE_MS);
    const isOver = await watch(stage, run.run_id, over.signal);
    clearTimeout(timer);
    const { state, error } = (await call<Run>(world.server, 'GET', `/v1/runs/${run.run_id}`)).body;
    if (!isOver) violations.push(`${run.run_id} (${run.action}) is ${state} and does not end`);
    ended.push(error === undefined ? state : `${state}:${error.code}`);
  }
  return ended;
}

/** Waits until the ticket is neither being created nor being removed. */
async function atRest({ world, ticketId }: Stage): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const { body } = await call(world.server, 'GET', `/v1/tickets/${ticketId}`);
    if (body.state === undefined || body.state === 'ready') return;
    await pause(50);
  }
}

/** Whatever happened, the ticket can be used: it is created again when it is gone, answers, and `dev` publishes. */
async function useAgain(stage: Stage, action: string): Promise<void> {
  const { world, ledger, ticketId, violations, random } = stage;
  const { status } = await call(world.server, 'GET', `/v1/tickets/${ticketId}`);
  if (status === 404) {
    ledger.tickets.delete(ticketId);
    for (const [runId, run] of ledger.runs) if (run.ticketId === ticketId) ledger.runs.delete(runId);
    ledger.files.splice(0, ledger.files.length, ...ledger.files.filter((file) => file.ticketId !== ticketId));
    await createTicket(stage);
    if (!ledger.ticket(ticketId).created) violations.push(`${ticketId} cannot be created again`);
  }
  const ways = [{ action: 'chat', message: 'are you there' }];
  if (action === 'dev' || random.chance(0.2)) ways.push({ action: 'dev', message: 'once more' });
  for (const request of ways) {
    const runId = await command(stage, request);
    if (runId === undefined) {
      violations.push(`${ticketId} takes no new ${request.action}`);
      continue;
    }
    await within(stage, watch(stage, runId), `the new ${request.action} of ${ticketId} does not end`);
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
