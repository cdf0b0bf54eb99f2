import type { Plan } from '../../schemas/plan.ts';
import { REPO } from '../helpers/server.ts';
import { ask, cancel, command, post, type Stage, watch } from './stage.ts';

export type ActionName =
  | 'create_ticket'
  | 'chat'
  | 'make_plan'
  | 'approve'
  | 'dev'
  | 'permission'
  | 'cancel'
  | 'delete'
  | 'sync';

/** An action of a client. A fault may interrupt `act` anywhere; `events` and `ms` are its usual events and duration. */
export type ClientAction = {
  prepare?(stage: Stage): Promise<void>;
  act(stage: Stage): Promise<unknown>;
  events: number;
  ms: number;
};

const PLAN = '# Add a note\n\n## Goal\n\nSay more.\n\n## Steps\n\n1. Write it.';
const EDITED = `${PLAN}\n2. Read it again.`;

export const clientActions: Record<ActionName, ClientAction> = {
  create_ticket: { act: createTicket, events: 0, ms: 400 },
  chat: {
    prepare: createTicket,
    // The second run waits in the queue behind the first.
    act: (stage) =>
      Promise.all(['the first question', 'the second question'].map((message) => runAction(stage, 'chat', message))),
    events: 20,
    ms: 1800,
  },
  make_plan: { prepare: createTicket, act: (stage) => runAction(stage, 'make_plan'), events: 10, ms: 1500 },
  approve: { prepare: withPlan, act: editAndApprove, events: 0, ms: 40 },
  dev: { prepare: createTicket, act: (stage) => runAction(stage, 'dev'), events: 26, ms: 2500 },
  permission: { prepare: createTicket, act: (stage) => runAction(stage, 'dev', 'ask first'), events: 20, ms: 3000 },
  cancel: { prepare: createTicket, act: chatAndCancel, events: 6, ms: 1800 },
  delete: { prepare: withRun, act: deleteTicket, events: 0, ms: 150 },
  sync: { prepare: withUpstream, act: createTicket, events: 0, ms: 300 },
};

/** Scripts the model for a ticket. Prompts have a line with the action and, below it, a line with the ticket. */
export function script({ world: { gemini }, ticketId }: Stage): void {
  const read = { name: 'read_file', args: { file_path: 'package.json' } };
  const on = (action: string, rest = '') => new RegExp(`^Action: ${action}$.*^Ticket: ${ticketId}$.*${rest}`, 'ms');
  gemini.on(on('chat'), [{ calls: [read] }, { text: ['It is ', 'a library', ' for lengths of time.'], delayMs: 10 }]);
  gemini.on(on('make_plan'), [{ calls: [read] }, { text: PLAN.split(/(?<=\n\n)/), delayMs: 5 }]);
  gemini.on(on('dev'), [write(`work-${ticketId}.md`), write(`more-${ticketId}.md`), { text: 'Wrote both.' }]);
  gemini.on(on('chat', 'hang forever'), [{ hang: true }, { text: 'after all' }]);
  gemini.on(on('chat', 'are you there'), [{ text: `${ticketId} is there` }]);
  const shell = { calls: [{ name: 'run_shell_command', args: { command: `echo allowed > allowed-${ticketId}.md` } }] };
  gemini.on(on('dev', 'ask first'), [write(`work-${ticketId}.md`), shell, { text: 'Did both.' }]);
  gemini.on(on('dev', 'once more'), [write(`again-${ticketId}.md`), { text: 'Wrote it.' }]);
}

function write(file_path: string) {
  return { calls: [{ name: 'write_file', args: { file_path, content: `content of ${file_path}\n` } }] };
}

export async function createTicket(stage: Stage): Promise<void> {
  const known = stage.ledger.ticket(stage.ticketId);
  known.requested = true;
  await post(stage, '/v1/tickets', { ticket_id: stage.ticketId, repo_url: REPO }, ({ status }) => {
    if (status === 200 || status === 201) known.created = true;
  });
}

async function runAction(stage: Stage, action: string, message?: string): Promise<void> {
  const runId = await command(stage, { action, ...(message === undefined ? {} : { message }) });
  if (runId !== undefined) await watch(stage, runId);
}

async function withPlan(stage: Stage): Promise<void> {
  await createTicket(stage);
  await runAction(stage, 'make_plan');
  recordPlan(stage, await ask<Plan>(stage, 'GET', plan(stage)));
}

async function editAndApprove(stage: Stage): Promise<void> {
  const edited = await ask<Plan>(stage, 'PUT', plan(stage), { body: EDITED }, { 'if-match': '"1"' });
  recordPlan(stage, edited);
  const version = edited?.body.version ?? 2;
  await post<Plan>(stage, `${plan(stage)}/approve`, { version }, (answer) => recordPlan(stage, answer));
}

function plan({ ticketId }: Stage): string {
  return `/v1/tickets/${ticketId}/plan`;
}

function recordPlan({ ledger, ticketId }: Stage, answer: { status: number; body: Plan } | undefined) {
  if (answer?.status !== 200) return;
  const { version, body, approved_at } = answer.body;
  ledger.plans.push({ ticketId, version, body, ...(approved_at === undefined ? {} : { approvedAt: approved_at }) });
}

async function chatAndCancel(stage: Stage): Promise<void> {
  const runId = await command(stage, { action: 'chat', message: 'hang forever' });
  if (runId === undefined) return;
  const reading = watch(stage, runId);
  await Promise.race([
    reading,
    stage.world.gemini.waitFor(
      ({ prompt, state }) => prompt.includes(`Ticket: ${stage.ticketId}\n`) && state === 'held',
    ),
  ]);
  await cancel(stage, runId);
  await reading;
}

async function withRun(stage: Stage): Promise<void> {
  await createTicket(stage);
  await runAction(stage, 'chat', 'the first question');
}

async function deleteTicket(stage: Stage): Promise<void> {
  const known = stage.ledger.ticket(stage.ticketId);
  known.removal = 'requested';
  const answer = await ask(stage, 'DELETE', `/v1/tickets/${stage.ticketId}?force=true`);
  if (answer?.status === 204) known.removal = 'acknowledged';
}

async function withUpstream(stage: Stage): Promise<void> {
  await createTicket(stage);
  const files = { [`upstream-${stage.ticketId}.md`]: 'from upstream\n' };
  stage.ledger.heads.set('main', await stage.world.github.commit('acme/duration', { files }));
}
