import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { RunEvent } from '../../schemas/event.ts';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const { gemini, github } = world;
const server = await startServer(t, world, { MAX_TURNS_PER_RUN: '4', AGENT_SILENCE_SECONDS: '3' });

const PLAN = '# Notes\n\n## Goal\n\nSay more.\n\n## Steps\n\n1. Write.';
const write = (file_path: string) => ({
  calls: [{ name: 'write_file', args: { file_path, content: `${file_path}\n` } }],
});
const shell = (command: string) => ({ calls: [{ name: 'run_shell_command', args: { command } }] });
const git = (folder: string, ...args: string[]) =>
  execFileSync('git', ['--git-dir', join(world.dir, folder), ...args], { encoding: 'utf8' }).trim();
const logged = (seen: readonly RunEvent[]) => seen.flatMap((event) => (event.type === 'log' ? [event.data.text] : []));
const WRAP_UP = /Note from the server: this run nears its limit \(MAX_TURNS_PER_RUN: 3 of 4 turns used\)/;

/** Creates a ticket with a plan. */
async function createPlanned(ticket_id: string): Promise<void> {
  await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
  gemini.on(new RegExp(`Action: make_plan.*${ticket_id}`, 's'), [{ text: PLAN }]);
  await run(server, ticket_id, { action: 'make_plan' });
}

t.test('the server asks the agent to finish near a limit and publishes its work', async (t) => {
  await createPlanned('DL-1');
  gemini.on(/Action: dev.*DL-1/s, [write('a.txt'), write('b.txt'), write('c.txt'), write('d.txt'), { text: 'All.' }]);
  gemini.on(WRAP_UP, [{ text: 'a to c are done, d is not.' }]);
  const { run: ended, events } = await run(server, 'DL-1', { action: 'dev' });
  t.match(ended, { state: 'succeeded', result: { files_changed: 3, cut_short: 'MAX_TURNS_PER_RUN' } });
  const near = events.filter(({ type }) => type === 'run.limit_near');
  t.match(near, [{ data: { setting: 'MAX_TURNS_PER_RUN', detail: '3 of 4 turns used' } }]);
  const [pull] = github.pulls('acme/duration');
  t.match(pull?.body, /may be incomplete.*`MAX_TURNS_PER_RUN`/);
  const asked = gemini.requests.findLast(({ prompt }) => WRAP_UP.test(prompt));
  t.match(asked?.prompt, /consistent state that compiles/);
  t.match(
    JSON.stringify(asked?.body.contents),
    /Action: dev[\s\S]*a\.txt[\s\S]*c\.txt/,
    'the request holds the conversation so far',
  );
});

t.test('a run fails at its limit, and the next run continues from its work', async (t) => {
  await createPlanned('DL-2');
  gemini.on(/Action: dev.*DL-2/s, [write('a.txt'), write('b.txt'), write('c.txt')]);
  gemini.on(WRAP_UP, [write('d.txt'), write('e.txt')]);
  const { run: ended, events } = await run(server, 'DL-2', { action: 'dev' });
  t.match(ended, {
    state: 'failed',
    error: {
      code: 'budget_exceeded',
      detail: '4 turns used; MAX_TURNS_PER_RUN allows 4.',
      remedy: /Raise the limit.*kept in the workspace/,
    },
  });
  t.match(
    readdirSync(join(world.dir, 'tickets/DL-2')).filter((name) => /^[a-e]\.txt$/.test(name)),
    [...['a.txt', 'b.txt', 'c.txt', 'd.txt']],
  );

  const ref = `refs/pullwright/checkpoints/${ended.run_id}`;
  t.match(logged(events).at(-1), `The work so far is kept in the workspace, and as ${ref} (`);
  const gitDir = execFileSync('sed', ['s/gitdir: //', join(world.dir, 'tickets/DL-2/.git')], {
    encoding: 'utf8',
  }).trim();
  const diff = execFileSync('git', ['--git-dir', gitDir, 'diff', '--name-only', 'HEAD', ref], { encoding: 'utf8' });
  t.equal(diff, 'a.txt\nb.txt\nc.txt\nd.txt\n', 'the checkpoint holds the work');
  t.notMatch(git('gh/acme/duration.git', 'for-each-ref'), 'DL-2', 'nothing was pushed');

  gemini.on(/unfinished work of an earlier run/, [write('e.txt'), { text: 'Done.' }]);
  const { run: next } = await run(server, 'DL-2', { action: 'dev' });
  t.match(next, { state: 'succeeded', result: { files_changed: 5, cut_short: undefined } });
  const prompt = gemini.requests.findLast((request) => request.prompt.includes('unfinished work'))?.prompt;
  t.match(prompt, /unfinished work of an earlier run of this ticket \(the budget is exhausted\)/);
  gemini.on('and then', [write('f.txt'), { text: 'Done.' }]);
  await run(server, 'DL-2', { action: 'dev', message: 'and then' });
  const after = gemini.requests.findLast((request) => request.prompt.includes('and then'))?.prompt;
  t.notMatch(after, 'unfinished work', 'a later prompt no longer mentions the unfinished work');
});

t.test('`chat` answers near its limit with its findings so far', async (t) => {
  const list = { calls: [{ name: 'list_directory', args: { dir_path: '.' } }] };
  gemini.on('look everywhere', [list, list, list, list, list]);
  gemini.on(WRAP_UP, [{ text: 'What I know.' }]);
  const { run: ended } = await run(server, 'DL-1', { action: 'chat', message: 'look everywhere' });
  t.match(ended, { state: 'succeeded', result: { text: 'What I know.', cut_short: 'MAX_TURNS_PER_RUN' } });
  t.match(gemini.requests.at(-1)?.prompt, /Answer now with what you know/);
});

t.test('a run times out when its agent and model are inactive for AGENT_SILENCE_SECONDS', async (t) => {
  gemini.on('think forever', [{ text: 'Hm', hang: true }]);
  const { run: ended } = await run(server, 'DL-1', { action: 'chat', message: 'think forever' });
  const detail = 'The agent and its model were inactive for 3 s (AGENT_SILENCE_SECONDS).';
  t.match(ended, { state: 'timed_out', error: { code: 'timed_out', detail, remedy: /AGENT_SILENCE_SECONDS/ } });
  await gemini.waitFor(({ prompt, state }) => prompt.includes('think forever') && state === 'abandoned');
});

t.test('a long tool call or an announced retry does not count as inactivity', async (t) => {
  gemini.on('take your time', [
    shell('sleep 5; date > late.txt'),
    { error: { status: 429, retryAfter: 5 } },
    { text: 'Done.' },
  ]);
  const { run: ended } = await run(server, 'DL-1', { action: 'dev', message: 'take your time' });
  t.match(ended, { state: 'succeeded', result: { files_changed: 1 } });
});

t.test('the server adds a hint when a tool call fails three times, and the agent continues', async (t) => {
  const read = { calls: [{ name: 'read_file', args: { file_path: 'nowhere.md' } }] };
  gemini.on('read it', [read, read, read, { text: 'never said' }]);
  gemini.on(/Note from the server: this call failed 3 times in a row/, [{ text: 'There is no such file.' }]);
  const { run: ended, events } = await run(server, 'DL-1', { action: 'chat', message: 'read it' });
  t.match(ended, { state: 'succeeded', result: { text: 'There is no such file.' } });
  const words = 'The same call failed 3 times in a row, so the agent got a hint: read_file {"file_path":"nowhere.md"}';
  t.equal(logged(events).filter((text) => text === words).length, 1);
});

t.test('a request can lower the limits of a run but not raise them', async (t) => {
  const list = { calls: [{ name: 'list_directory', args: { dir_path: '.' } }] };
  gemini.on(/on a budget|Note from the server: this run nears/, [list, list, list, list, list, list]);
  const withBudget = (budget: object) => run(server, 'DL-1', { action: 'chat', message: 'on a budget', budget });
  t.match((await withBudget({ turns: 2 })).run, {
    budget: { turns: 2 },
    error: { code: 'budget_exceeded', detail: '2 turns used; budget.turns allows 2.' },
  });
  t.match((await withBudget({ turns: 100 })).run, { error: { detail: /MAX_TURNS_PER_RUN allows 4/ } });
  t.match((await withBudget({ tokens: 1 })).run, { error: { detail: /tokens used; budget\.tokens allows 1\./ } });
  gemini.on('in a second', [{ hang: true }]);
  const { run: late } = await run(server, 'DL-1', { action: 'chat', message: 'in a second', budget: { seconds: 1 } });
  const detail = 'The run took longer than the 1 s that budget.seconds allows.';
  t.match(late, { state: 'timed_out', error: { code: 'timed_out', detail } });
  for (const budget of [{ turns: 0 }, { tokens: '5' }, { money: 1 }, 7]) {
    const request = { action: 'chat', message: 'x', budget };
    t.equal((await call(server, 'POST', '/v1/tickets/DL-1/runs', request)).status, 400, JSON.stringify(budget));
  }
});
