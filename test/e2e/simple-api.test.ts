import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { ticket as sample, sampleScripts } from '../../standins/sample-ticket.ts';
import { call, events, frames } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const exec = promisify(execFile);
const world = await makeWorld(t);
const server = await startServer(t, world);

/** Calls a route with the curl flags that clients of the simple API use. */
async function curl(path: string, body?: object): Promise<{ head: string; body: string }> {
  const args = ['-sS', '-N', '-i', new URL(path, server.url).href];
  if (body !== undefined) {
    args.push('-X', 'POST', '-H', 'Content-Type: application/json', '-d', JSON.stringify(body));
  }
  const { stdout } = await exec('curl', args);
  const split = stdout.indexOf('\r\n\r\n');
  return { head: stdout.slice(0, split), body: stdout.slice(split + 4) };
}

/** Returns the `data: ` lines of a stream, as a simple client reads them. */
function dataLines(stream: string): string[] {
  return stream
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length));
}

t.test('a curl client takes a ticket to a pull request through the simple API', async (t) => {
  world.gemini.script(sampleScripts);

  const hello = await curl('/');
  t.match(hello.head, /^HTTP\/1.1 200/);
  t.match(JSON.parse(hello.body), { status: 'ok', name: 'pullwright', version: String });

  const created = await curl('/create_ticket', { ...sample, repo_url: `${REPO}.git` });
  t.match(created.head, /^HTTP\/1.1 200/);
  t.strictSame(JSON.parse(created.body), {
    status: 'ok',
    ticket_id: sample.ticket_id,
    message: 'New ticket created, repo cloned, and branch initialized.',
    branch: `ticket_${sample.ticket_id}`,
    created: true,
  });
  t.ok(existsSync(join(world.dir, 'tickets', sample.ticket_id, 'package.json')), 'the repository is checked out');

  const again = await curl('/create_ticket', { ticket_id: sample.ticket_id, repo_url: REPO });
  t.match(JSON.parse(again.body), { status: 'ok', ticket_id: sample.ticket_id, created: false });

  const chat = await curl('/command', { ticket_id: sample.ticket_id, action: 'chat', message: 'How is it built?' });
  t.match(chat.head, /^HTTP\/1.1 200/);
  t.match(chat.head, /content-type: text\/event-stream/i);
  const runId = /x-run-id: (\S+)/i.exec(chat.head)?.[1];
  t.match(chat.head, new RegExp(`link: </v1/runs/${runId}>; rel="monitor"`, 'i'));
  const chatLines = dataLines(chat.body);
  t.ok(chatLines.length > 2, 'the answer has lines');
  t.equal(chatLines.at(-1), '__END__');
  t.equal(chat.body.match(/^data: /gm)?.length, chat.body.match(/^id: \d+$/gm)?.length, 'every frame has an id');

  const plan = await curl('/command', { ticket_id: sample.ticket_id, action: 'make_plan' });
  const planLines = dataLines(plan.body);
  t.ok(planLines.includes('[plan] version 1'));
  t.ok(planLines.some((line) => /^#+ Goal/i.test(line) || line === '## Goal'));
  t.equal(planLines.at(-1), '__END__');

  const dev = await curl('/command', { ticket_id: sample.ticket_id, action: 'dev' });
  const devLines = dataLines(dev.body);
  t.ok(
    devLines.some((line) => line.startsWith('[tool] edit ')),
    'edits are reported',
  );
  t.ok(devLines.some((line) => /^\[commit\] [0-9a-f]{12} /.test(line)));
  t.ok(devLines.includes('[pull_request] https://github.com/acme/duration/pull/1'));
  t.equal(devLines.at(-1), '__END__');
  t.equal(world.github.pulls('acme/duration').length, 1);
});

t.test('/command ends a failed run with an Error line and __END__', async (t) => {
  world.gemini.on('break please', [{ error: { status: 400, message: 'this request is malformed' } }]);
  const stream = await curl('/command', { ticket_id: sample.ticket_id, action: 'chat', message: 'break please' });
  const lines = dataLines(stream.body);
  t.match(lines.at(-2), /^Error: /);
  t.equal(lines.at(-1), '__END__');
});

t.test('/command escapes a line of the agent that equals __END__', async (t) => {
  world.gemini.on('say the word', [{ text: 'before\n__END__\nafter' }]);
  const stream = await curl('/command', { ticket_id: sample.ticket_id, action: 'chat', message: 'say the word' });
  t.strictSame(dataLines(stream.body), ['before', ' __END__', 'after', '__END__']);
});

t.test('a run continues when the client of /command disconnects', async (t) => {
  world.gemini.on('take your time', [{ hang: true }, { text: 'here it is' }]);
  const response = await fetch(new URL('/command', server.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ticket_id: sample.ticket_id, action: 'chat', message: 'take your time' }),
  });
  const runId = response.headers.get('x-run-id') ?? '';
  await world.gemini.waitFor((request) => request.prompt.includes('take your time') && request.state === 'held');
  await response.body?.cancel();
  world.gemini.release();
  const seen = await events(server, runId);
  t.equal(seen.at(-1)?.type, 'run.succeeded');
});

t.test('/create_ticket refuses invalid ids and URLs and creates nothing', async (t) => {
  const before = readdirSync(join(world.dir, 'tickets')).sort();
  const ids = [
    '',
    '..',
    'a/b',
    '-x',
    'x-',
    'a.lock',
    'a b',
    'a\nb',
    'ünïcode',
    '\u0000',
    'x'.repeat(10_240),
    5,
    null,
    'CON',
    'nul',
    'Lpt1',
  ];
  for (const ticket_id of ids) {
    const { status, body, headers } = await call(server, 'POST', '/create_ticket', { ticket_id, repo_url: REPO });
    t.equal(status, 400, `ticket id ${JSON.stringify(ticket_id)?.slice(0, 30)}`);
    t.match(headers.get('content-type'), /^application\/problem\+json/);
    t.match(body, { code: 'invalid_request', errors: [{ path: '/ticket_id' }] });
  }
  const urls = [
    'ext::sh -c "touch /tmp/pwned"',
    'file:///etc',
    '/etc/passwd',
    '../x',
    'http://github.com/acme/duration',
    'https://user:secret@github.com/acme/duration',
    'https://token@github.com/acme/duration',
    'https://github.com:8443/acme/duration',
    'https://github.com/acme/duration?x=1',
    'https://github.com/acme/duration#x',
    'https://github.com/acme',
    'https://github.com/acme/..',
    'https://github.com/-x/--upload-pack=x',
    '--upload-pack=touch /tmp/pwned',
    'https://evil.example/acme/duration',
    'https://127.0.0.1/acme/duration',
    'https://169.254.169.254/latest/meta-data',
    'https://[::1]/acme/duration',
    'ssh://git@github.com/acme/duration',
    'git@evil.example:acme/duration',
    'javascript:alert(1)',
    'https://github.com/acme/duration\n',
    'https://gıthub.com/acme/duration',
  ];
  for (const repo_url of urls) {
    const { status, body } = await call(server, 'POST', '/create_ticket', { ticket_id: 'T-1', repo_url });
    t.equal(status, 400, repo_url);
    t.match(body.code, /^(repo_url_invalid|invalid_request)$/);
  }
  const surplus = await call(server, 'POST', '/create_ticket', { ticket_id: 'T-1', repo_url: REPO, branch: 'x' });
  t.match(surplus, { status: 400, body: { errors: [{ path: '/branch' }] } });
  t.match(
    await call(server, 'POST', '/create_ticket', { ticket_id: 'T-1', repo_url: 'https://github.com/acme/nothing' }),
    {
      status: 404,
      body: { code: 'repo_not_found' },
    },
  );
  t.equal((await call(server, 'GET', '/v1/tickets/T-1')).status, 404, 'nothing was created');
  t.strictSame(readdirSync(join(world.dir, 'tickets')).sort(), before);

  await world.github.addRepository('acme/other', { from: join(world.dir, 'tickets', sample.ticket_id) });
  t.match(
    await call(server, 'POST', '/create_ticket', {
      ticket_id: sample.ticket_id.toLowerCase(),
      repo_url: 'https://github.com/acme/other',
    }),
    { status: 409, body: { code: 'ticket_repo_mismatch' } },
    'ids are compared without regard to case',
  );
});

t.test('/command refuses invalid commands', async (t) => {
  const send = (body: object) => call(server, 'POST', '/command', body);
  t.match(await send({ ticket_id: sample.ticket_id, action: 'chat' }), {
    status: 400,
    body: { code: 'message_required' },
  });
  t.match(await send({ ticket_id: sample.ticket_id, action: 'chat', message: '   ' }), { status: 400 });
  t.match(await send({ ticket_id: sample.ticket_id, action: 'rm' }), {
    status: 400,
    body: { errors: [{ path: '/action' }] },
  });
  t.match(await send({ ticket_id: 'NONE-1', action: 'dev' }), { status: 404, body: { code: 'ticket_not_found' } });
});

t.test('each frame of /command has the id of an event', async (t) => {
  world.gemini.on('two lines', [{ text: ['one\n', 'two'] }]);
  const response = await fetch(new URL('/command', server.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ticket_id: sample.ticket_id, action: 'chat', message: 'two lines' }),
  });
  const seen = [];
  for await (const frame of frames(response)) seen.push(frame);
  const log = await events(server, response.headers.get('x-run-id') ?? '');
  const ids = seen.map((frame) => Number(frame.id));
  t.strictSame(
    ids,
    ids.toSorted((a, b) => a - b),
    'in order',
  );
  t.equal(ids.at(-1), log.at(-1)?.seq, 'the last frame is the terminal event');
});
