import t from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

/** The real Gemini CLI opens folders that an earlier agent, or a shell in its sandbox, left damaged. */
const world = await makeWorld(t);
const { gemini } = world;
const server = await startServer(t, world);

const CHATS = 'cd ~/.gemini/tmp/ticket/chats';
const DAMAGE: Record<string, string> = {
  'a folder where its session file is moved to': `${CHATS} && for f in session-2000-*; do mv $f \${f/2000/2001} && mkdir $f; done`,
  'a folder that cannot be written': `${CHATS} && chmod 500 .`,
  'a folder that cannot be opened': `${CHATS} && chmod 0 .`,
};

for (const [index, [damage, command]] of Object.entries(DAMAGE).entries()) {
  t.test(`the next command succeeds when an agent left ${damage}`, async (t) => {
    const ticket_id = `C-${index}`;
    await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
    gemini.on(`make a plan ${index}`, [{ text: '# Goal\n\nDo it.' }]);
    await run(server, ticket_id, { action: 'make_plan', message: `make a plan ${index}` });
    const shell = { name: 'run_shell_command', args: { command: `echo work > work.txt; ${command}` } };
    gemini.on(`work ${index}`, [{ calls: [shell] }, { text: 'Done.' }]);
    // The run may fail because its agent damaged its own files.
    await run(server, ticket_id, { action: 'dev', message: `work ${index}` });

    gemini.on(`what now ${index}`, [{ text: 'Nothing.' }]);
    const next = await run(server, ticket_id, { action: 'chat', message: `what now ${index}` });
    t.match(next.run, { state: 'succeeded', result: { text: 'Nothing.' } });
    t.ok(next.events.some(({ type, data }) => type === 'log' && /starts a new one/.test(data.text)));
    const request = gemini.requests.find(({ prompt }) => prompt.includes(`what now ${index}`));
    t.match(request?.prompt, /Do it\./, 'the prompt includes the earlier plan');

    const after = await run(server, ticket_id, { action: 'chat', message: `what now ${index}` });
    t.match(after.run, { state: 'succeeded' });
    t.notOk(
      after.events.some(({ type }) => type === 'log'),
      'the new conversation continues',
    );
  });
}
