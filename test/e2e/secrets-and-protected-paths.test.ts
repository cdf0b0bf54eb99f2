import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { agentText, call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServerProcess, TOKEN } from '../helpers/server.ts';

const MODEL_KEY = 'AIzaSyStandIn-Key_0123456789';
const world = await makeWorld(t);
const { gemini, github } = world;
const server = await startServerProcess(t, world, { GEMINI_API_KEY: MODEL_KEY, LOG_LEVEL: 'trace' });
let log = '';
server.process.stdout?.on('data', (chunk) => {
  log += chunk;
});

const PLAN = '# Goal\n\nDo it.';
const write = (file_path: string, content: string) => ({ name: 'write_file', args: { file_path, content } });
const git = (...args: string[]) =>
  execFileSync('git', ['--git-dir', join(world.dir, 'gh/acme/duration.git'), ...args], { encoding: 'utf8' }).trim();
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** Asserts that an output holds no secret in plain text, Base64 or hexadecimal. */
function isClean(t: Test, output: unknown, name: string): void {
  const text = typeof output === 'string' ? output : JSON.stringify(output);
  for (const secret of [TOKEN, MODEL_KEY]) {
    for (const form of [secret, base64(secret).slice(0, -4), Buffer.from(secret).toString('hex')]) {
      t.notOk(text.includes(form), `${name} holds no ${form.slice(0, 6)}`);
    }
  }
}

/** Creates a ticket with a plan. */
async function makeTicket(ticketId: string, title?: string): Promise<void> {
  await call(server, 'POST', '/v1/tickets', { ticket_id: ticketId, repo_url: REPO, ...(title ? { title } : {}) });
  gemini.on(new RegExp(`Action: make_plan.*${ticketId}`, 's'), [{ text: PLAN }]);
  await run(server, ticketId, { action: 'make_plan' });
}

t.test('a secret from the agent reaches no event, response, log, commit or pull request', async (t) => {
  await makeTicket('LEAK-1', `Rotate ${TOKEN}`);
  gemini.on('tell me', [
    {
      thought: `hm ${MODEL_KEY}`,
      text: ['it is ', TOKEN.slice(0, 20), TOKEN.slice(20, 30), `${TOKEN.slice(30)}, or `, base64(MODEL_KEY)],
    },
  ]);
  const chat = await run(server, 'LEAK-1', { action: 'chat', message: `tell me, is it ${TOKEN}?` });
  // An event between two pieces of a secret has each of them masked.
  t.match(agentText(chat.events), /^it is (?:\[redacted\])+, or \[redacted\]/);
  t.equal(chat.run.result?.text, agentText(chat.events));
  isClean(t, chat, 'the run');

  gemini.on(/Action: make_plan.*again/s, [{ text: `# Goal\n\nUse ${TOKEN} and ${MODEL_KEY}.` }]);
  await run(server, 'LEAK-1', { action: 'make_plan', message: 'again' });
  const plan = await call(server, 'GET', '/v1/tickets/LEAK-1/plan');
  t.match(plan.body.body, 'Use [redacted] and [redacted].');

  gemini.on(/Action: dev.*LEAK-1/s, [
    { calls: [{ name: 'run_shell_command', args: { command: `echo ${TOKEN} >&2; echo work > work.txt` } }] },
    { text: [`Set ${TOKEN.slice(0, 7)}`, `${TOKEN.slice(7)} as the token.`] },
  ]);
  const dev = await run(server, 'LEAK-1', { action: 'dev' });
  t.match(dev.run, { state: 'succeeded' });
  isClean(t, dev, 'the run');
  const [pull] = github.pulls('acme/duration');
  t.match(pull?.title, 'Rotate [redacted]');
  t.match(pull?.body, 'Set [redacted] as the token.');
  isClean(t, pull, 'the pull request');
  isClean(t, git('log', '-3', '--format=%B', 'ticket_LEAK-1'), 'the commit');

  await writeFile(join(world.dir, 'tickets/LEAK-1/note.txt'), `${TOKEN}\n${base64(`:${MODEL_KEY}`)}\n`);
  const diff = await call(server, 'GET', '/v1/tickets/LEAK-1/diff');
  t.match(diff.body.patch, /^\+\[redacted\]$/m);
  isClean(t, diff.body, 'the diff');
  const patch = await call(server, 'GET', '/v1/tickets/LEAK-1/diff', undefined, { accept: 'text/x-diff' });
  t.match(patch.body, /^\+\[redacted\]$/m);
  isClean(t, patch.body, 'the diff as text');
  for (const path of ['/v1/tickets/LEAK-1', '/v1/tickets', '/v1/runs', `/v1/runs/${chat.run.run_id}`]) {
    isClean(t, (await call(server, 'GET', path)).body, path);
  }
  const stored = await call(server, 'GET', `/v1/runs/${chat.run.run_id}/events`, undefined, {
    accept: 'application/json',
  });
  isClean(t, stored.body, 'the pages of events');
  const lines = await call(server, 'POST', '/command', { ticket_id: 'LEAK-1', action: 'chat', message: 'tell me' });
  t.match(lines.body, /it is (?:\[redacted\])+, or/);
  isClean(t, lines.body, 'the line stream');

  for (const [method, path, body] of [
    ['GET', `/v1/tickets/${TOKEN}`, undefined],
    ['GET', `/v1/runs?state=${TOKEN}`, undefined],
    ['POST', '/v1/tickets', { ticket_id: 'X', repo_url: `https://github.com/${TOKEN}/x`, [TOKEN]: 1 }],
    ['POST', '/v1/tickets', { ticket_id: 'X', repo_url: REPO, base_branch: TOKEN }],
    ['GET', `/${TOKEN}/%zz`, undefined],
  ] as const) {
    const answer = await call(server, method, path, body);
    t.ok(answer.status >= 400 && answer.status < 500, `${method} ${path}: ${answer.status}`);
    isClean(t, answer.body, `the problem of ${path}`);
  }
  isClean(t, log, 'the log');
  t.match(log, /"run finished"/);
});

t.test('`dev` fails with secret_in_diff and keeps the work when a file holds a secret', async (t) => {
  await makeTicket('LEAK-2');
  gemini.on(/Action: dev.*LEAK-2/s, [
    { calls: [write('fine.txt', 'fine\n'), write('config.txt', `auth: ${base64(`x:${TOKEN}`)}\n`)] },
    { text: 'Done.' },
  ]);
  const { run: ended, events: seen } = await run(server, 'LEAK-2', { action: 'dev' });
  t.match(ended, {
    state: 'failed',
    error: {
      code: 'secret_in_diff',
      detail: 'A secret of the server would be published in config.txt.',
      retryable: false,
    },
  });
  t.notOk(seen.some(({ type }) => type === 'commit.created' || type === 'branch.pushed'));
  t.equal(git('branch', '--list', 'ticket_LEAK-2'), '', 'nothing was pushed');
  t.equal(await readFile(join(world.dir, 'tickets/LEAK-2/fine.txt'), 'utf8'), 'fine\n');
  isClean(t, seen, 'the run');

  await writeFile(join(world.dir, 'tickets/LEAK-2/config.txt'), `auth: ghp_${'a'.repeat(36)}\n`);
  gemini.on('now without', [{ text: 'It is gone.' }]);
  const again = await run(server, 'LEAK-2', { action: 'dev', message: 'now without' });
  t.match(again.run, { state: 'succeeded', result: { files_changed: 2 } });
  const warnings = again.events.flatMap((event) =>
    event.type === 'log' && event.data.level === 'warn' ? [event.data.text] : [],
  );
  t.match(warnings, [/config\.txt has text that looks like a GitHub token/]);
});

t.test('`dev` holds back changes of protected paths and reports them', async (t) => {
  await makeTicket('GUARD-1');
  const workflow = write('.github/workflows/evil.yml', 'on: push\n');
  gemini.on(/Action: dev.*GUARD-1/s, [{ calls: [workflow, write('src/x.ts', 'x\n')] }, { text: 'Done.' }]);
  const { run: ended, events: seen } = await run(server, 'GUARD-1', { action: 'dev' });
  t.match(ended, { state: 'succeeded', result: { files_changed: 1 } });
  const warnings = seen.flatMap((event) =>
    event.type === 'log' && event.data.level === 'warn' ? [event.data.text] : [],
  );
  t.match(warnings, [/Held back.*PROTECTED_PATHS.*\.github\/workflows\/evil\.yml/]);
  t.match(github.pulls('acme/duration').at(-1)?.body, /## Held back\n\n.*\n\n- \.github\/workflows\/evil\.yml\n/);
  t.notMatch(git('ls-tree', '-r', '--name-only', 'ticket_GUARD-1'), 'evil.yml');
  t.equal(await readFile(join(world.dir, 'tickets/GUARD-1/.github/workflows/evil.yml'), 'utf8'), 'on: push\n');

  await makeTicket('GUARD-2');
  gemini.on(/Action: dev.*GUARD-2/s, [{ calls: [workflow] }, { text: 'Done.' }]);
  const only = await run(server, 'GUARD-2', { action: 'dev' });
  t.match(only.run, {
    state: 'failed',
    error: { code: 'protected_paths', detail: /\.github\/workflows\/evil\.yml/, remedy: /PROTECTED_PATHS/ },
  });
  t.equal(git('branch', '--list', 'ticket_GUARD-2'), '');
});

t.test('`dev` lists attributes that hide changes from review', async (t) => {
  await makeTicket('GUARD-3');
  gemini.on(/Action: dev.*GUARD-3/s, [
    { calls: [write('.gitattributes', '*.ts linguist-generated\n'), write('src/y.ts', 'y\n')] },
    { text: 'Done.' },
  ]);
  const { run: ended, events: seen } = await run(server, 'GUARD-3', { action: 'dev' });
  t.match(ended, { state: 'succeeded', result: { files_changed: 2 } });
  const warnings = seen.flatMap((event) =>
    event.type === 'log' && event.data.level === 'warn' ? [event.data.text] : [],
  );
  t.match(warnings, [/hide changes.*\.gitattributes: \*\.ts linguist-generated/]);
  const named = /## Hidden from review\n\n.*\n\n- \.gitattributes: \\\*\.ts linguist-generated\n/;
  t.match(github.pulls('acme/duration').at(-1)?.body, named);

  gemini.on('once more', [{ calls: [write('src/z.ts', 'z\n')] }, { text: 'Done.' }]);
  await run(server, 'GUARD-3', { action: 'dev', message: 'once more' });
  t.match(github.pulls('acme/duration').at(-1)?.body, named, 'a later run that does not change them lists them too');
});

t.test('the server logs a secret that is too short to redact when it starts', async (t) => {
  const other = await startServerProcess(t, world, {
    GEMINI_API_KEY: 'short',
    DATA_DIR: join(world.dir, 'other', 'data'),
    TICKETS_ROOT: join(world.dir, 'other', 'tickets'),
  });
  const warning = await other.logged(({ msg }) => /too short/.test(msg ?? ''));
  t.strictSame(warning.settings, ['GEMINI_API_KEY']);
  await other.stop();
});
