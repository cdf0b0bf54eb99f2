import { spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { sampleScripts } from '../../standins/sample-ticket.ts';
import { LAUNCHER, pullwright, startCommand, startOnTerminal } from '../helpers/command.ts';
import { ADMIN_KEY, makeKey } from '../helpers/keys.ts';
import { listen } from '../helpers/listen.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
world.gemini.script(sampleScripts);
const server = await startServer(t, world, { API_KEY: ADMIN_KEY });
const env = { PULLWRIGHT_URL: server.url, PULLWRIGHT_API_KEY: ADMIN_KEY };
const command = (...args: string[]) => pullwright(t, world, args, { env });
const lines = (text: string) => text.split('\n').filter((line) => line !== '');

t.test('the commands take a ticket to a pull request', async (t) => {
  const created = await command('ticket', 'create', 'REL-123', REPO, '--title', 'Round half up');
  t.match(created, { code: 0, stdout: 'REL-123\n', stderr: /branch ticket_REL-123/ });
  t.match(await command('ticket', 'list'), { code: 0, stdout: /^REL-123\t-\thttps:\S+\t-\tRound half up\n$/ });

  const chat = await command('chat', 'REL-123', 'Where', 'does it come from?');
  t.match(chat, { code: 0, stdout: /It comes from `format`/, stderr: /\[read\] src\/format\.ts/ });
  t.notMatch(chat.stdout, /\[read\]/, 'stdout holds only the text of the agent');
  t.notMatch(`${chat.stdout}${chat.stderr}`, '\u001b', 'no escape sequences without a terminal');

  t.match(await command('plan', 'REL-123'), { code: 0, stderr: /plan saved as version 1/ });
  t.match(await command('plan', 'show', 'REL-123'), {
    code: 0,
    stdout: /^# Carry over/,
    stderr: /Version 1.*not approved/,
  });
  t.match(await command('plan', 'approve', 'REL-123'), { code: 0, stderr: /Version 1 is approved/ });
  t.match(await command('pr', 'REL-123'), { code: 1, stdout: '', stderr: /no pull request yet.*pullwright dev/ });

  const dev = await command('dev', 'REL-123', '--json');
  t.equal(dev.code, 0);
  const events = lines(dev.stdout).map((line) => JSON.parse(line));
  t.same(
    events.map(({ seq }) => seq),
    events.map((_, index) => index + 1),
    'each event is one line of JSON',
  );
  t.match(events.at(-1), { type: 'run.succeeded', data: { result: { pull_request: { number: 1 } } } });

  t.match(await command('pr', 'REL-123'), { code: 0, stdout: 'https://github.com/acme/duration/pull/1\n' });
  t.match(await command('diff', 'REL-123'), { code: 0, stdout: /^diff --git[\s\S]*\+ {2}const length = rounded/ });
  t.match(JSON.parse((await command('ticket', 'show', 'REL-123', '--json')).stdout), { pull_request: { number: 1 } });

  const runs = lines((await command('runs', 'REL-123', '--state', 'succeeded', '--json')).stdout);
  t.same(
    runs.map((line) => JSON.parse(line).action),
    ['dev', 'make_plan', 'chat'],
  );
  const logs = await command('logs', 'REL-123', '--json');
  t.same(
    lines(logs.stdout).map((line) => JSON.parse(line)),
    events,
    '`logs` prints the streamed events',
  );
  t.match(await command('logs', '-f', 'REL-123'), { code: 0, stderr: /pull request opened/ });
  t.match(await command('cancel', 'REL-123'), { code: 1, stderr: /has finished already: succeeded/ });
  t.match(await command('ticket', 'sync', 'REL-123'), { code: 0, stderr: /up to date/ });
});

t.test('`plan edit` keeps the typed text when another version was saved meanwhile', async (t) => {
  const editor = join(world.dir, 'editor');
  writeFileSync(
    editor,
    '#!/bin/sh\n[ -z "$MEANWHILE" ] || sh -c "$MEANWHILE"\nprintf "\\n6. Typed by hand.\\n" >>"$2"\n',
  );
  chmodSync(editor, 0o755);
  const edit = (more: Record<string, string> = {}) =>
    pullwright(t, world, ['plan', 'edit', 'REL-123'], {
      env: { ...env, EDITOR: `${editor} --wait`, TMPDIR: world.dir, ...more },
    });
  t.match(await edit(), { code: 0, stderr: /Saved as version 2/ });
  t.match(await command('plan', 'diff', 'REL-123'), {
    code: 0,
    stdout: /^--- version-1\.md[\s\S]*\n\+6\. Typed by hand\./m,
  });

  const put = `curl -s -X PUT -H 'x-api-key: ${ADMIN_KEY}' -H 'content-type: application/json' -H 'if-match: "2"' -d '{"body":"another"}' ${server.url}/v1/tickets/REL-123/plan >/dev/null`;
  const stale = await edit({ MEANWHILE: put });
  t.match(stale, { code: 1, stderr: /What you wrote is in \S+\.md/ });
  const file = /What you wrote is in (\S+\.md)/.exec(stale.stderr)?.[1] ?? '';
  t.match(readFileSync(file, 'utf8'), /Typed by hand/);
  t.match(await command('plan', 'edit', 'REL-123', '--file', file), { code: 0, stderr: /Saved as version 4/ });
  t.match(await command('plan', 'approve', 'REL-123', '--version', '2'), { code: 1, stderr: /newest/ });
});

t.test('SIGINT leaves the run active, and `cancel` ends it', async (t) => {
  await command('ticket', 'create', 'HOLD-1', REPO);
  world.gemini.on(/Action: chat.*HOLD-1/s, [{ text: 'I begin.\n\n', hang: true }]);
  const chat = startCommand(t, world.dir, ['chat', 'HOLD-1', 'one that never ends'], env);
  await new Promise<void>((resolve) => chat.process.stdout.on('data', () => resolve()));
  chat.process.kill('SIGINT');
  const left = await chat.ended;
  t.match(left, { code: 130, stdout: /I begin\./, stderr: /the run continues.*pullwright cancel/ });
  const follow = startCommand(t, world.dir, ['logs', '-f', 'HOLD-1'], env);
  await new Promise<void>((resolve) => follow.process.stdout.on('data', () => resolve()));
  t.match(await command('cancel', 'HOLD-1'), { code: 0, stderr: /^Canceling run / });
  t.match(await follow.ended, { code: 3, stderr: /canceled/ });
});

t.test('`logs` prints why a run failed', async (t) => {
  await command('ticket', 'create', 'FAIL-1', REPO);
  world.gemini.on('fail please', [{ error: { status: 401 } }]);
  t.match(await command('chat', 'FAIL-1', 'fail please'), { code: 1, stderr: /The run failed: .*key/ });
  t.match(await command('logs', 'FAIL-1'), { code: 0, stderr: /The run failed: .*key/ });
});

t.test('a closed pipe ends the command but not the run', async (t) => {
  const sh = spawn('sh', ['-c', `"$@" | head -c 1`, 'sh', process.execPath, LAUNCHER, 'diff', 'REL-123'], {
    env: { PATH: process.env.PATH, ...env },
  });
  t.teardown(() => sh.kill('SIGKILL'));
  const [out, err] = await Promise.all([text(sh.stdout), text(sh.stderr)]);
  t.equal(out, 'd');
  t.equal(err, '');
  world.gemini.on(/Action: chat.*FAIL-1/s, [
    { text: 'First.\n', calls: [{ name: 'read_file', args: { file_path: 'package.json' } }] },
    { hang: true },
    // Held again, so that the command notices the closed pipe before the run finishes.
    { text: 'Second.\n\n', hang: true },
    { text: 'Third.' },
  ]);
  const chat = startCommand(t, world.dir, ['chat', 'FAIL-1', 'two words'], env);
  await new Promise<void>((resolve) => chat.process.stdout.once('data', () => resolve()));
  chat.process.stdout.destroy();
  await world.gemini.waitFor((request) => request.prompt.includes('two words') && request.state === 'held');
  world.gemini.release();
  t.match(await chat.ended, { code: 130, stderr: /the run continues/ });
  world.gemini.release();
  t.match(await command('logs', '-f', 'FAIL-1'), { code: 0, stdout: /Second\.[\s\S]*Third\./ });
});

t.test('`ticket create` shows the progress of a checkout only on a terminal', async (t) => {
  // The server stays at 45 % until the test has seen the progress.
  let seen = () => {};
  const progress = new Promise<void>((resolve) => {
    seen = resolve;
  });
  const ticket = { ticket_id: 'SLOW-1', repo_url: REPO, branch: 'ticket_SLOW-1', base_branch: 'main' };
  const update = { ...ticket, state: 'creating', progress: { stage: 'receiving objects', percent: 45 } };
  const slow = createServer(async (request, response) => {
    if (request.method === 'POST') await progress;
    else response.setHeader('content-type', 'text/event-stream');
    if (request.method === 'POST') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ ...ticket, state: 'ready', created: true, message: 'made' }));
    } else response.write(`id: 1\nevent: ticket.updated\ndata: ${JSON.stringify(update)}\n\n`);
  });
  const url = await listen(t, slow);
  const create = ['ticket', 'create', 'SLOW-1', REPO];
  const terminal = startOnTerminal(t, world.dir, create, { PULLWRIGHT_URL: url, NO_COLOR: '1' });
  await terminal.shows('receiving objects 45 %');
  seen();
  const { code, shown } = await terminal.ended;
  t.equal(code, 0);
  t.match(shown, /Checking out \S+: receiving objects 45 %[\s\S]*SLOW-1\r\n/);
  t.notMatch(shown, '\u001b[3', 'NO_COLOR is respected');
  const piped = await pullwright(t, world, create, { env: { PULLWRIGHT_URL: url } });
  t.match(piped, { code: 0, stdout: 'SLOW-1\n', stderr: /^Checked out on branch [^\n]*\n$/ });
});

t.test('each kind of failure has its exit code and message', async (t) => {
  t.match(await command('tickte'), { code: 2, stdout: '', stderr: /Did you mean ticket\?/ });
  t.match(await command('runs', '--limit', 'none'), { code: 2, stderr: /whole number/ });
  t.match(await command('plan', 'diff', 'REL-123', 'first'), { code: 2, stderr: /whole number/ });
  const noFile = await command('plan', 'edit', 'REL-123', '--file', 'no-such-file');
  t.match(noFile, { code: 1, stdout: '', stderr: /^no-such-file cannot be read: .*\n$/ });
  const missing = await command('ticket', 'show', 'NONE-1');
  t.match(missing, { code: 1, stdout: '', stderr: /NONE-1.*pullwright ticket list/ }, 'the message names a command');
  t.notMatch(missing.stderr, /\/v1\//, 'the message names no route');
  const anonymous = await pullwright(t, world, ['runs'], { env: { ...env, PULLWRIGHT_API_KEY: '' } });
  t.match(anonymous, { code: 4, stderr: /Set PULLWRIGHT_API_KEY/ });
  const reader = await makeKey(server, { scopes: ['read'] });
  const refused = await pullwright(t, world, ['chat', 'REL-123', 'hello'], {
    env: { ...env, PULLWRIGHT_API_KEY: reader.key },
  });
  t.match(refused, { code: 4, stderr: /scope/ });
  const unreachable = await pullwright(t, world, ['runs'], { env: { PULLWRIGHT_URL: 'http://127.0.0.1:1' } });
  t.match(unreachable, { code: 1, stderr: /No server answers at http:\/\/127\.0\.0\.1:1/ });

  const signOn = createServer((_request, response) => response.setHeader('content-type', 'text/html').end('Sign on'));
  const strange = { env: { PULLWRIGHT_URL: await listen(t, signOn) } };
  for (const args of [['runs'], ['logs', '-f', '019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c'], ['backup', 'signed-on']]) {
    const outcome = await pullwright(t, world, args, strange);
    t.match(outcome, {
      code: 1,
      stdout: '',
      stderr: /^The answer did not come from a Pullwright server \(status 200\)\.\n$/,
    });
  }
  t.notOk(existsSync(join(world.dir, 'signed-on')));
});

t.test('`completion` prints shell scripts, and `complete` lists candidates', async (t) => {
  t.match(await command('completion', 'bash'), { code: 0, stdout: /complete -o default -F _pullwright/ });
  t.match(await command('completion', 'tcsh'), { code: 2, stderr: /bash, zsh, fish/ });
  t.match(lines((await command('complete', '--', 'ticket')).stdout), ['create', 'list', 'show', 'sync', 'delete']);
  t.match((await command('complete', '--', 'plan', 'show')).stdout, '--version');
  t.match(lines((await command('complete', '--', 'runs', '--state')).stdout), ['queued', 'running', 'waiting']);
});

t.test('`init` writes .env for its owner only and keeps other settings', async (t) => {
  const dir = t.testdir({ '.env': 'LOG_LEVEL=warn\nGEMINI_API_KEY=old\n' });
  const input = 'new-key\n\n8123\ny\n';
  t.match(await pullwright(t, { dir }, ['init'], { input }), { code: 0, stdout: '', stderr: /pullwright doctor/ });
  const written = readFileSync(join(dir, '.env'), 'utf8');
  t.match(written, /^LOG_LEVEL=warn\nGEMINI_API_KEY=new-key\nPORT=8123\nHOST=0\.0\.0\.0\nAPI_KEY=[\w-]{32}\n$/);
  t.equal(statSync(join(dir, '.env')).mode & 0o777, 0o600);
});

t.test('`init` leaves .env unchanged when it is interrupted', async (t) => {
  const before = 'GEMINI_API_KEY=works\n';
  for (const key of ['\u0003', '\u0004']) {
    const dir = t.testdir({ '.env': before });
    const terminal = startOnTerminal(t, dir, ['init']);
    await terminal.shows('Gemini API key');
    terminal.process.stdin.write('wrong-key\r');
    await terminal.shows('GitHub token');
    terminal.process.stdin.write(key);
    t.match(await terminal.ended, { code: 130, shown: /Interrupted; \.env is unchanged\.\r\n$/ });
    t.equal(readFileSync(join(dir, '.env'), 'utf8'), before);
  }
});
