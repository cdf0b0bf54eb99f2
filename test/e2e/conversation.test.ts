import t from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

/** What an agent, or a shell in its sandbox, leaves in the folder of its conversation. The real Gemini CLI is to open it. */
const world = await makeWorld(t);
const { gemini } = world;
const server = await startServer(t, world);

const CHATS = 'cd ~/.gemini/tmp/ticket/chats';
const LEFT: Record<string, string> = {
  'a folder where its session file is moved to': `${CHATS} && for f in session-2000-*; do mv $f \${f/2000/2001} && mkdir $f; done`,
  'a folder that cannot be written': `${CHATS} && chmod 500 .`,
  'a folder that cannot be opened': `${CHATS} && chmod 0 .`,
};

for (const [index, [what, command]] of Object.entries(LEFT).entries()) {
  t.test(`the next command works when an agent left ${what}`, async (t) => {
    const ticket_id = `C-${index}`;
    await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
    gemini.on(`make a plan ${index}`, [{ text: '# Goal\n\nDo it.' }]);
    await run(server, ticket_id, { action: 'make_plan', message: `make a plan ${index}` });
    const shell = { name: 'run_shell_command', args: { command: `echo work > work.txt; ${command}` } };
    gemini.on(`work ${index}`, [{ calls: [shell] }, { text: 'Done.' }]);
    // It may fail, of what it did to its own files.
    await run(server, ticket_id, { action: 'dev', message: `work ${index}` });

    gemini.on(`what now ${index}`, [{ text: 'Nothing.' }]);
    const next = await run(server, ticket_id, { action: 'chat', message: `what now ${index}` });
    t.match(next.run, { state: 'succeeded', result: { text: 'Nothing.' } });
    t.ok(next.events.some(({ type, data }) => type === 'log' && /starts a new one/.test(data.text)));
    const request = gemini.requests.find(({ prompt }) => prompt.includes(`what now ${index}`));
    t.match(request?.prompt, /Do it\./, 'it is told what was said');

    const after = await run(server, ticket_id, { action: 'chat', message: `what now ${index}` });
    t.match(after.run, { state: 'succeeded' });
    t.notOk(
      after.events.some(({ type }) => type === 'log'),
      'the new conversation goes on',
    );
  });
}
