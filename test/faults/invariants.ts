import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Static } from '@sinclair/typebox';
import type { RunEvent } from '../../schemas/event.ts';
import type { PermissionList } from '../../schemas/permission.ts';
import type { Run } from '../../schemas/run.ts';
import { call } from '../helpers/client.ts';
import { TOKEN } from '../helpers/server.ts';
import { pause, type Stage, TERMINAL, watch } from './stage.ts';
import { type FaultWorld, MODEL_KEY } from './world.ts';

const REPOSITORY = 'acme/duration';

/** What says nothing about a run itself, so that it begins again; and how often it is begun (RUN_MAX_ATTEMPTS). */
const CUT_SHORT: ReadonlySet<string> = new Set(['interrupted', 'agent_crashed']);
const MAX_ATTEMPTS = 3;

/** What must be true of a ticket once everything has come to rest. Each problem is a sentence. */
export async function checkTicket(stage: Stage): Promise<string[]> {
  const { world, ledger, ticketId } = stage;
  const known = ledger.ticket(ticketId);
  const { status, body } = await call(world.server, 'GET', `/v1/tickets/${ticketId}`);
  if (status === 404) {
    const lost = known.created && known.removal === 'none';
    return [...(lost ? [`the acknowledged ticket ${ticketId} is lost`] : []), ...traces(world, ticketId)];
  }
  if (status !== 200) return [`the ticket ${ticketId} answers ${status}: ${JSON.stringify(body)}`];
  const problems: string[] = [];
  if (known.removal === 'acknowledged') problems.push(`the deleted ticket ${ticketId} is there again`);
  if (body.state !== 'ready') problems.push(`the ticket ${ticketId} stays ${body.state}`);
  problems.push(
    ...(await checkPlans(stage)),
    ...(await checkRuns(stage)),
    ...checkFiles(stage),
    ...(await checkRemote(stage)),
  );
  return problems;
}

async function checkPlans({ world, ledger, ticketId }: Stage): Promise<string[]> {
  const problems: string[] = [];
  for (const plan of ledger.plans.filter((known) => known.ticketId === ticketId)) {
    const { status, body } = await call(world.server, 'GET', `/v1/tickets/${ticketId}/plan?version=${plan.version}`);
    const isSame = status === 200 && body.body === plan.body;
    const isApproved = plan.approvedAt === undefined || body.approved_at === plan.approvedAt;
    if (!isSame || !isApproved) problems.push(`plan ${plan.version} of ${ticketId} is not what was acknowledged`);
  }
  return problems;
}

async function checkRuns(stage: Stage): Promise<string[]> {
  const { world, ledger, ticketId } = stage;
  const problems: string[] = [];
  const listed = await runsOf(world, ticketId);
  for (const [runId, run] of ledger.runs) {
    if (run.ticketId === ticketId && !listed.some(({ run_id }) => run_id === runId)) {
      problems.push(`the acknowledged run ${runId} (${run.action}) is lost`);
    }
  }
  for (const run of listed) {
    if (stage.unanswered.length === 0 && !ledger.runs.has(run.run_id) && !ledger.uncertain.has(run.run_id)) {
      problems.push(`the run ${run.run_id} (${run.action}) was asked for once and is there twice`);
    }
    problems.push(...(await checkEvents(stage, run)));
  }
  const { items }: Static<typeof PermissionList> = (await call(world.server, 'GET', '/v1/permissions')).body;
  for (const { ticket_id, run_id } of items) {
    if (ticket_id === ticketId) problems.push(`a permission of ${run_id}, which has ended, is open`);
  }
  return problems;
}

async function runsOf(world: FaultWorld, ticketId: string): Promise<Run[]> {
  return (await call(world.server, 'GET', `/v1/tickets/${ticketId}/runs?limit=100`)).body.items;
}

async function checkEvents(stage: Stage, run: Run): Promise<string[]> {
  const { world, ledger } = stage;
  const { run_id } = run;
  if (run.finished_at === undefined) return [`${run_id} (${run.action}) is still ${run.state}`];
  const problems: string[] = [];
  // Reading the stream again compares it, byte for byte, with what was seen before.
  if (!(await watch(stage, run_id, AbortSignal.timeout(30_000))))
    problems.push(`the stream of the ended run ${run_id} did not end`);
  const page = await call<{ items: RunEvent[] }>(world.server, 'GET', `/v1/runs/${run_id}/events`, undefined, {
    accept: 'application/json',
  });
  const { items } = page.body;
  if (items.some(({ seq }, index) => seq !== index + 1)) problems.push(`the events of ${run_id} have a gap`);
  const seen = ledger.events.get(run_id) ?? new Map<number, string>();
  for (const [seq, bytes] of seen) {
    const kept = items[seq - 1];
    if (kept === undefined) problems.push(`event ${seq} of ${run_id} was seen and is lost: ${bytes}`);
    else if (!isDeepStrictEqual(kept, JSON.parse(bytes))) problems.push(`event ${seq} of ${run_id} differs in a page`);
  }
  const ends = items.filter(({ type }) => TERMINAL.test(type));
  if (ends.length !== 1 || !TERMINAL.test(items.at(-1)?.type ?? '')) {
    problems.push(`${run_id} (${run.state}) has ${ends.length} terminal events; its last is ${items.at(-1)?.type}`);
  }
  if (ends[0] !== undefined && ends[0].type !== `run.${run.state}`) {
    problems.push(`${run_id} is ${run.state} and its last event ${ends[0].type}`);
  }
  return [...problems, ...checkAttempts(stage, run, items)];
}

/** What cut an attempt short did not end the run, and what was acknowledged about it came to be. */
function checkAttempts(
  { ledger }: Stage,
  { run_id, attempt, state, error }: Run,
  items: readonly RunEvent[],
): string[] {
  const problems: string[] = [];
  if (CUT_SHORT.has(error?.code ?? '') && attempt < MAX_ATTEMPTS) {
    problems.push(`${run_id} failed as ${error?.code} after attempt ${attempt}, and was not continued`);
  }
  if (error?.code === 'internal') problems.push(`${run_id} failed unexpectedly`);
  let begun = 0;
  let next = 1;
  for (const { type, data } of items) {
    if (type === 'run.resumed' && data.attempt !== undefined) next = data.attempt;
    if (type !== 'run.started') continue;
    if (data.attempt <= begun || data.attempt !== next) {
      problems.push(`attempt ${data.attempt} of ${run_id} began after ${begun}, when ${next} was to come`);
    }
    begun = data.attempt;
  }
  if (begun > attempt) problems.push(`${run_id} is at attempt ${attempt}, and attempt ${begun} began`);
  const canceledAt = ledger.canceled.get(run_id);
  if (canceledAt !== undefined && attempt > canceledAt) {
    problems.push(`${run_id} was canceled in attempt ${canceledAt}, and ${state} in attempt ${attempt}`);
  }
  for (const [permissionId, { runId, decision }] of ledger.decisions) {
    if (runId !== run_id) continue;
    const isKept = items.some(
      ({ type, data }) =>
        type === 'permission.resolved' && data.permission_id === permissionId && data.decision === decision,
    );
    if (!isKept) problems.push(`the answer ${decision} to ${permissionId} of ${run_id} was acknowledged and is lost`);
  }
  return problems;
}

/** What the agent was seen to write is in the workspace, committed or not. */
function checkFiles({ world, ledger, ticketId }: Stage): string[] {
  return ledger.files
    .filter((file) => file.ticketId === ticketId)
    .filter(({ path, content }) => read(world.path('tickets', ticketId, path)) !== content)
    .map(({ path }) => `${path}, which the agent wrote for ${ticketId}, is not in the workspace`);
}

async function checkRemote({ world, ledger, ticketId }: Stage): Promise<string[]> {
  const problems: string[] = [];
  const branch = `ticket_${ticketId}`;
  const pulls = world.github.pulls(REPOSITORY).filter(({ head }) => head === branch);
  if (pulls.length > 1) problems.push(`${branch} has ${pulls.length} pull requests`);
  if (pulls.some(({ base }) => base !== 'main')) problems.push(`the pull request of ${branch} is not for main`);
  const head = remoteHeads(world).get(branch);
  const before = ledger.heads.get(branch);
  if (before !== undefined && (head === undefined || !isAncestor(world, before, head))) {
    problems.push(`${branch} was ${before} and is now ${head}: not its continuation`);
  }
  if (head === undefined) return problems;
  ledger.heads.set(branch, head);
  const trailers = git(world, 'log', '--format=%(trailers:key=Run-Id,valueonly)', `main..${branch}`);
  const runIds = trailers.split('\n').filter((line) => line !== '');
  if (new Set(runIds).size !== runIds.length) problems.push(`${branch} has two commits of one run: ${runIds}`);
  const own = new Set((await runsOf(world, ticketId)).map(({ run_id }) => run_id));
  if (runIds.some((runId) => !own.has(runId))) {
    problems.push(`${branch} has a commit of a run that is not its own: ${runIds}`);
  }
  for (const [runId, events] of ledger.events) {
    if (ledger.runs.get(runId)?.ticketId !== ticketId) continue;
    for (const bytes of events.values()) {
      const { type, data } = JSON.parse(bytes);
      if (type !== 'branch.pushed') continue;
      if (!isAncestor(world, data.sha, head)) problems.push(`${data.sha}, which was pushed, is not on ${branch}`);
    }
  }
  return problems;
}

/** What must be true of the whole world, besides its tickets. */
export async function checkWorld(stage: Stage): Promise<string[]> {
  const { world, ledger } = stage;
  const heads = remoteHeads(world);
  const problems = ledger.mismatches.splice(0);
  for (const name of heads.keys()) {
    const owner = name === 'main' ? undefined : ledger.tickets.get(name.replace(/^ticket_/, ''));
    if (name !== 'main' && owner === undefined) problems.push(`the remote has a branch ${name} of nobody`);
  }
  if (heads.get('main') !== ledger.heads.get('main')) problems.push('the default branch was moved');
  const { body } = await call(world.server, 'GET', '/v1/tickets?limit=100');
  const ids = new Set<string>(body.items.map(({ ticket_id }: { ticket_id: string }) => ticket_id));
  problems.push(...(await untilNone(() => leftovers(world, ids))), ...secretsIn(world));
  return problems;
}

/** Files that belong to no ticket, to no run, or to a git that is gone. */
function leftovers(world: FaultWorld, ids: ReadonlySet<string>): string[] {
  const left: string[] = [];
  const visible = (folder: string) => list(folder).filter((name) => !name.startsWith('.') && name !== 'lost+found');
  const strangers = (folder: string, suffix = '') => {
    for (const name of visible(world.path(folder))) {
      if (!ids.has(name.slice(0, name.length - suffix.length))) left.push(`${folder}/${name} belongs to no ticket`);
    }
  };
  strangers('tickets');
  strangers('data/gitdirs', '.git');
  strangers('data/conversations');
  for (const id of ids) {
    if (!existsSync(world.path('tickets', id))) left.push(`the ticket ${id} has no workspace`);
  }
  for (const folder of ['data/staging', 'data/trash', 'tickets/.staging', 'tickets/.trash']) {
    for (const name of list(world.path(folder))) left.push(`${folder}/${name} is left over`);
  }
  for (const folder of ['data/mirrors', 'data/gitdirs']) {
    for (const name of list(world.path(folder), true)) {
      if (/\.lock$|\/pack\/tmp_/.test(name)) left.push(`${folder}/${name} is left over`);
    }
  }
  return left;
}

/** What is left of a deleted ticket. */
function traces(world: FaultWorld, ticketId: string): string[] {
  const places = [`tickets/${ticketId}`, `data/gitdirs/${ticketId}.git`, `data/conversations/${ticketId}`];
  const mirrors = list(world.path('data/mirrors')).map((name) => `data/mirrors/${name}/refs/tickets/${ticketId}`);
  return [...places, ...mirrors, `tickets/.quarantine/${ticketId}`]
    .filter((place) => existsSync(world.path(place)))
    .map((place) => `${place} is left of a ticket that is gone`);
}

function secretsIn({ log }: FaultWorld): string[] {
  const text = log.join('\n');
  return [TOKEN, MODEL_KEY].filter((secret) => text.includes(secret)).map((secret) => `the log holds ${secret}`);
}

/** The secrets are in no event either. */
export function secretsSeen({ ledger }: Stage): string[] {
  return [...ledger.events].flatMap(([runId, events]) =>
    [...events.values()].some((bytes) => bytes.includes(TOKEN) || bytes.includes(MODEL_KEY))
      ? [`an event of ${runId} holds a secret`]
      : [],
  );
}

/** Deletion is off the request path: what is being deleted may be there for a moment. */
async function untilNone(look: () => string[]): Promise<string[]> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const found = look();
    if (found.length === 0 || Date.now() > deadline) return found;
    await pause(50);
  }
}

export function remoteHeads(world: FaultWorld): Map<string, string> {
  const lines = git(world, 'for-each-ref', '--format=%(refname:strip=2) %(objectname)', 'refs/heads').split('\n');
  return new Map(
    lines.filter((line) => line !== '').map((line) => [line.split(' ')[0] ?? '', line.split(' ')[1] ?? '']),
  );
}

function isAncestor(world: FaultWorld, older: string, newer: string): boolean {
  try {
    git(world, 'merge-base', '--is-ancestor', older, newer);
    return true;
  } catch {
    return false;
  }
}

function git(world: FaultWorld, ...args: string[]): string {
  const directory = world.path('gh', `${REPOSITORY}.git`);
  return execFileSync('git', ['--git-dir', directory, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}

function list(folder: string, recursive = false): string[] {
  try {
    return readdirSync(folder, { recursive, encoding: 'utf8' }).map((name) => (recursive ? join('/', name) : name));
  } catch {
    return [];
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
