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

/** Error codes after which the server starts the next attempt of a run. */
const RETRYABLE: ReadonlySet<string> = new Set(['interrupted', 'agent_crashed']);
/** The default of RUN_MAX_ATTEMPTS. */
const MAX_ATTEMPTS = 3;

/** Checks the invariants of a ticket when no run is open. Returns the violations. */
export async function checkTicket(stage: Stage): Promise<string[]> {
  const { world, ledger, ticketId } = stage;
  const known = ledger.ticket(ticketId);
  const { status, body } = await call(world.server, 'GET', `/v1/tickets/${ticketId}`);
  if (status === 404) {
    const lost = known.created && known.removal === 'none';
    return [...(lost ? [`the acknowledged ticket ${ticketId} is lost`] : []), ...remainsOf(world, ticketId)];
  }
  if (status !== 200) return [`the ticket ${ticketId} answers ${status}: ${JSON.stringify(body)}`];
  const problems: string[] = [];
  if (known.removal === 'acknowledged') problems.push(`the deleted ticket ${ticketId} exists again`);
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
      problems.push(`the run ${run.run_id} (${run.action}) was requested once and exists twice`);
    }
    problems.push(...(await checkEvents(stage, run)));
  }
  const { items }: Static<typeof PermissionList> = (await call(world.server, 'GET', '/v1/permissions')).body;
  for (const { ticket_id, run_id } of items) {
    if (ticket_id === ticketId) problems.push(`a permission of the finished run ${run_id} is open`);
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
  // Reading the stream again compares it, byte for byte, with the events seen before.
  if (!(await watch(stage, run_id, AbortSignal.timeout(30_000))))
    problems.push(`the stream of the finished run ${run_id} did not close`);
  const page = await call<{ items: RunEvent[] }>(world.server, 'GET', `/v1/runs/${run_id}/events`, undefined, {
    accept: 'application/json',
  });
  const { items } = page.body;
  if (items.some(({ seq }, index) => seq !== index + 1)) problems.push(`the events of ${run_id} have a gap`);
  const seen = ledger.events.get(run_id) ?? new Map<number, string>();
  for (const [seq, bytes] of seen) {
    const kept = items[seq - 1];
    if (kept === undefined) problems.push(`event ${seq} of ${run_id} was received and is lost: ${bytes}`);
    else if (!isDeepStrictEqual(kept, JSON.parse(bytes))) problems.push(`event ${seq} of ${run_id} differs in a page`);
  }
  const terminal = items.filter(({ type }) => TERMINAL.test(type));
  if (terminal.length !== 1 || !TERMINAL.test(items.at(-1)?.type ?? '')) {
    problems.push(`${run_id} (${run.state}) has ${terminal.length} terminal events; its last is ${items.at(-1)?.type}`);
  }
  if (terminal[0] !== undefined && terminal[0].type !== `run.${run.state}`) {
    problems.push(`${run_id} is ${run.state} and its terminal event is ${terminal[0].type}`);
  }
  return [...problems, ...checkAttempts(stage, run, items)];
}

/** Checks that interrupted attempts were retried, and that acknowledged cancels and answers took effect. */
function checkAttempts(
  { ledger }: Stage,
  { run_id, attempt, state, error }: Run,
  items: readonly RunEvent[],
): string[] {
  const problems: string[] = [];
  if (RETRYABLE.has(error?.code ?? '') && attempt < MAX_ATTEMPTS) {
    problems.push(`${run_id} failed as ${error?.code} after attempt ${attempt}, and was not retried`);
  }
  if (error?.code === 'internal') problems.push(`${run_id} failed unexpectedly`);
  let started = 0;
  let next = 1;
  for (const { type, data } of items) {
    if (type === 'run.resumed' && data.attempt !== undefined) next = data.attempt;
    if (type !== 'run.started') continue;
    if (data.attempt <= started || data.attempt !== next) {
      problems.push(`attempt ${data.attempt} of ${run_id} started after ${started}, when ${next} was due`);
    }
    started = data.attempt;
  }
  if (started > attempt) problems.push(`${run_id} is at attempt ${attempt}, and attempt ${started} started`);
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

/** Checks that every file that an event reported is in the workspace, committed or not. */
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
    problems.push(`${branch} was ${before} and is now ${head}, which does not descend from it`);
  }
  if (head === undefined) return problems;
  ledger.heads.set(branch, head);
  const trailers = git(world, 'log', '--format=%(trailers:key=Run-Id,valueonly)', `main..${branch}`);
  const runIds = trailers.split('\n').filter((line) => line !== '');
  if (new Set(runIds).size !== runIds.length) problems.push(`${branch} has two commits of one run: ${runIds}`);
  const own = new Set((await runsOf(world, ticketId)).map(({ run_id }) => run_id));
  if (runIds.some((runId) => !own.has(runId))) {
    problems.push(`${branch} has a commit of another ticket's run: ${runIds}`);
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

/** Checks the invariants of the world besides those of its tickets. */
export async function checkWorld(stage: Stage): Promise<string[]> {
  const { world, ledger } = stage;
  const heads = remoteHeads(world);
  const problems = ledger.mismatches.splice(0);
  for (const name of heads.keys()) {
    const owner = name === 'main' ? undefined : ledger.tickets.get(name.replace(/^ticket_/, ''));
    if (name !== 'main' && owner === undefined) problems.push(`the remote has a branch ${name} without a ticket`);
  }
  if (heads.get('main') !== ledger.heads.get('main')) problems.push('the default branch moved');
  const { body } = await call(world.server, 'GET', '/v1/tickets?limit=100');
  const ids = new Set<string>(body.items.map(({ ticket_id }: { ticket_id: string }) => ticket_id));
  problems.push(...(await waitUntilEmpty(() => leftovers(world, ids))), ...secretsIn(world));
  return problems;
}

/** Lists files without a ticket, staged files, trash, and lock files of git. */
function leftovers(world: FaultWorld, ids: ReadonlySet<string>): string[] {
  const found: string[] = [];
  const visible = (folder: string) => list(folder).filter((name) => !name.startsWith('.') && name !== 'lost+found');
  const findOrphans = (folder: string, suffix = '') => {
    for (const name of visible(world.path(folder))) {
      if (!ids.has(name.slice(0, name.length - suffix.length))) found.push(`${folder}/${name} belongs to no ticket`);
    }
  };
  findOrphans('tickets');
  findOrphans('data/gitdirs', '.git');
  findOrphans('data/conversations');
  for (const id of ids) {
    if (!existsSync(world.path('tickets', id))) found.push(`the ticket ${id} has no workspace`);
  }
  for (const folder of ['data/staging', 'data/trash', 'tickets/.staging', 'tickets/.trash']) {
    for (const name of list(world.path(folder))) found.push(`${folder}/${name} is left over`);
  }
  for (const folder of ['data/mirrors', 'data/gitdirs']) {
    for (const name of list(world.path(folder), true)) {
      if (/\.lock$|\/pack\/tmp_/.test(name)) found.push(`${folder}/${name} is left over`);
    }
  }
  return found;
}

/** Lists the remains of a deleted ticket. */
function remainsOf(world: FaultWorld, ticketId: string): string[] {
  const paths = [`tickets/${ticketId}`, `data/gitdirs/${ticketId}.git`, `data/conversations/${ticketId}`];
  const mirrors = list(world.path('data/mirrors')).map((name) => `data/mirrors/${name}/refs/tickets/${ticketId}`);
  return [...paths, ...mirrors, `tickets/.quarantine/${ticketId}`]
    .filter((path) => existsSync(world.path(path)))
    .map((path) => `${path} is left over from a deleted ticket`);
}

function secretsIn({ log }: FaultWorld): string[] {
  const text = log.join('\n');
  return [TOKEN, MODEL_KEY].filter((secret) => text.includes(secret)).map((secret) => `the log holds ${secret}`);
}

/** Lists the events that hold a secret. */
export function secretsSeen({ ledger }: Stage): string[] {
  return [...ledger.events].flatMap(([runId, events]) =>
    [...events.values()].some((bytes) => bytes.includes(TOKEN) || bytes.includes(MODEL_KEY))
      ? [`an event of ${runId} holds a secret`]
      : [],
  );
}

/** Waits until no leftovers are found, because deletion continues after the answer. Returns the last leftovers. */
async function waitUntilEmpty(find: () => string[]): Promise<string[]> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const found = find();
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
