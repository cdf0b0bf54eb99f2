import t from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const server = await startServer(t, world, { VERIFY_COMMAND: '["grep","-q","good","NOTES.md"]', VERIFY_ATTEMPTS: '2' });
const { gemini, github } = world;
const write = (content: string) => ({ calls: [{ name: 'write_file', args: { file_path: 'NOTES.md', content } }] });

t.test('the agent gets the output of a failed check command and fixes its work', async (t) => {
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'V-1', repo_url: REPO });
  gemini.on(/Action: make_plan.*V-1/s, [{ text: '# Notes\n\n## Goal\n\nGood notes.' }]);
  gemini.on(/Action: dev.*V-1/s, [write('bad\n'), { text: 'Wrote them.' }]);
  gemini.on('The check command', [write('good\n'), { text: 'Fixed.' }]);
  const { run: ended, events } = await run(server, 'V-1', { action: 'dev' });
  t.match(
    ended,
    { state: 'succeeded', plan_version: 1, result: { pull_request: { created: true } } },
    '`dev` wrote the plan itself',
  );
  t.ok(events.some((event) => event.type === 'plan.saved'));
  t.match(github.pulls('acme/duration')[0]?.body, /grep -q good NOTES\.md/, 'the pull request names the check command');
});

t.test('`dev` fails with verify_failed and publishes nothing when its check keeps failing', async (t) => {
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'V-2', repo_url: REPO });
  gemini.on(/Action: make_plan.*V-2/s, [{ text: '# Notes\n\n## Goal\n\nBad notes.' }]);
  gemini.on(/Action: dev.*V-2/s, [write('bad\n'), { text: 'Wrote them.' }]);
  gemini.on('The check command', [{ text: 'It looks fine to me.' }]);
  const { run: ended } = await run(server, 'V-2', { action: 'dev' });
  t.match(ended, { state: 'failed', error: { code: 'verify_failed' } });
  t.equal(github.pulls('acme/duration').length, 1);
  t.match((await call(server, 'GET', '/v1/tickets/V-2/diff')).body.files, [{ path: 'NOTES.md' }], 'the work is kept');
});
