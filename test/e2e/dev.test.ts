import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const server = await startServer(t, world, { REQUIRE_PLAN_APPROVAL: 'true' });
const { gemini, github } = world;

const PLAN =
  '# Add notes\n\n## Goal\n\nSay more.\n\n## Files to change\n\nNOTES.md\n\n## Steps\n\n1. Write.\n\n## Tests\n\nNone.\n\n## Risks\n\nNone.';
const write = (file_path: string, content: string) => ({
  calls: [{ name: 'write_file', args: { file_path, content } }],
});
const branchLog = (branch: string) =>
  execFileSync(
    'git',
    ['--git-dir', join(world.dir, 'gh/acme/duration.git'), 'log', '--format=%an <%ae>|%s|%b', `main..${branch}`],
    { encoding: 'utf8' },
  );

await call(server, 'POST', '/v1/tickets', { ticket_id: 'DEV-1', repo_url: REPO, title: 'Write notes' });

t.test('`make_plan` writes a plan, which a person edits and approves', async (t) => {
  t.match(await call(server, 'GET', '/v1/tickets/DEV-1/plan'), { status: 404, body: { code: 'plan_not_found' } });
  const early = await run(server, 'DEV-1', { action: 'dev' });
  t.match(early.run, { state: 'failed', error: { code: 'plan_not_approved', remedy: String } });

  gemini.on(/Action: make_plan.*DEV-1/s, [
    { text: 'Let me look first.', calls: [{ name: 'read_file', args: { file_path: 'package.json' } }] },
    { text: ['Here is the plan.\n\n', PLAN] },
  ]);
  const planned = await run(server, 'DEV-1', { action: 'make_plan' });
  t.match(planned.run, { state: 'succeeded', plan_version: 1, result: { plan_version: 1 } });
  t.ok(planned.events.some((event) => event.type === 'plan.saved'));
  const tools = (await gemini.waitFor((request) => request.prompt.includes('make_plan'))).tools;
  t.notOk(tools.includes('write_file') || tools.includes('run_shell_command'), 'the model gets no tool that writes');

  const read = await call(server, 'GET', '/v1/tickets/DEV-1/plan');
  t.match(read.body, { version: 1, author: 'agent', body: PLAN }, 'the plan starts after the introductory text');
  t.equal(read.headers.get('etag'), '"1"');

  const edited = `${PLAN}\n\nEdited.`;
  const put = (body: string, headers: Record<string, string>) =>
    call(server, 'PUT', '/v1/tickets/DEV-1/plan', { body }, headers);
  t.match(await put(edited, {}), { status: 428, body: { code: 'precondition_required' } });
  t.match(await put(edited, { 'if-match': '"1"' }), {
    status: 200,
    body: { version: 2, author: 'person', body: edited },
  });
  t.match(await put('late', { 'if-match': '"1"' }), { status: 412, body: { code: 'plan_version_mismatch' } });
  t.match(
    await call(server, 'GET', '/v1/tickets/DEV-1/plan?version=1'),
    { body: { body: PLAN } },
    'older versions remain readable',
  );

  const approve = (version: number) => call(server, 'POST', '/v1/tickets/DEV-1/plan/approve', { version });
  t.match(await approve(1), { status: 409, body: { code: 'plan_stale' } });
  const approved = await approve(2);
  t.match(approved, { status: 200, body: { version: 2, approved_at: String } });
  t.strictSame((await approve(2)).body, approved.body, 'approving again changes nothing');
});

t.test('`dev` carries out the plan, and the next `dev` updates the pull request', async (t) => {
  gemini.on(/Action: dev.*DEV-1/s, [write('NOTES.md', 'one\n'), { text: 'Wrote the notes.' }]);
  const first = await run(server, 'DEV-1', { action: 'dev' });
  t.match(first.run, {
    state: 'succeeded',
    plan_version: 2,
    result: {
      plan_version: 2,
      files_changed: 1,
      commits: [/^[0-9a-f]{40}$/],
      pull_request: { number: 1, created: true },
    },
  });
  const steps = first.events.flatMap((event) => (event.type === 'step.finished' ? [event.data.step] : []));
  t.strictSame(steps, ['workspace', 'agent', 'commit', 'push', 'pull_request']);
  t.ok(first.run.usage.input_tokens > 0 && first.run.usage.output_tokens > 0, 'tokens are counted');
  const prompt = gemini.requests.findLast((request) => request.prompt.includes('Action: dev'))?.prompt;
  t.match(prompt, /Edited\./, 'the prompt includes the approved plan');

  gemini.on('one more line', [write('NOTES.md', 'one\ntwo\n'), { text: 'Added a line.' }]);
  const second = await run(server, 'DEV-1', { action: 'dev', message: 'one more line' });
  t.match(second.run, { state: 'succeeded', result: { pull_request: { number: 1, created: false } } });
  t.ok(second.events.some((event) => event.type === 'pull_request.updated'));

  t.equal(github.pulls('acme/duration').length, 1, 'one pull request');
  t.match(github.pulls('acme/duration')[0], {
    state: 'open',
    title: /DEV-1.*Write notes/,
    head: 'ticket_DEV-1',
    base: 'main',
  });
  const log = branchLog('ticket_DEV-1');
  t.equal(log.match(/DEV-1: Write notes/g)?.length, 2, 'two commits');
  t.match(log, /^Pullwright <pullwright@users.noreply.github.com>\|/);
  t.match(log, /Plan-Version: 2/);

  const ticket = (await call(server, 'GET', '/v1/tickets/DEV-1')).body;
  t.match(ticket, { plan_version: 2, pull_request: { number: 1 }, last_run: { action: 'dev', state: 'succeeded' } });
});

t.test('`dev` fails with no_changes when the agent edits nothing', async (t) => {
  gemini.on('do nothing', [{ text: 'All is well as it is.' }]);
  const { run: ended } = await run(server, 'DEV-1', { action: 'dev', message: 'do nothing' });
  t.match(ended, { state: 'failed', error: { code: 'no_changes' } });
});

t.test('the diff lists the changes of the branch', async (t) => {
  const diff = (await call(server, 'GET', '/v1/tickets/DEV-1/diff')).body;
  t.match(diff, {
    truncated: false,
    files: [{ path: 'NOTES.md', status: 'added', additions: 2, deletions: 0, binary: false }],
  });
  const patch = await call(server, 'GET', '/v1/tickets/DEV-1/diff', undefined, { accept: 'text/x-diff' });
  t.match(patch.headers.get('content-type'), /^text\/x-diff/);
  t.equal(patch.body, diff.patch);
  t.match(patch.body, /\+two/);
});

t.test('DELETE refuses a ticket with unpushed work unless `force` is set', async (t) => {
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'DEV-2', repo_url: REPO });
  execFileSync('touch', [join(world.dir, 'tickets/DEV-2/left-behind')]);
  t.match(await call(server, 'DELETE', '/v1/tickets/DEV-2'), { status: 409, body: { code: 'unpushed_work' } });
  t.equal((await call(server, 'DELETE', '/v1/tickets/DEV-2?force=true')).status, 204);
  t.equal((await call(server, 'GET', '/v1/tickets/DEV-2')).status, 404);
  t.notOk(existsSync(join(world.dir, 'tickets/DEV-2')));
  t.equal(
    (await call(server, 'DELETE', '/v1/tickets/DEV-1')).status,
    204,
    'a ticket whose work is pushed can be deleted',
  );
});
