import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Turn } from '../../standins/gemini-script.ts';
import { call, run } from '../helpers/client.ts';
import { makeWorld } from '../helpers/server.ts';
import { SERVER_USERS, type ServerUser, startServerAs } from '../helpers/users.ts';
import { createAgentArena } from './agent-arena.ts';
import { AGENT_ATTACKS, KEY, MESSAGES, PROMPTS, type Prompt, TOKEN } from './agent-attacks.ts';

const LAST: Record<Prompt, Turn> = {
  make_plan: { text: '# Goal\n\nDo it.' },
  chat: { text: 'Answered.' },
  command: { text: 'Answered.' },
  dev: { text: 'Done.' },
  'next dev': { text: ['The token is ', TOKEN.slice(0, 9), `${TOKEN.slice(9)}.`] },
};

/** Starts a server of a user with a ticket on a hostile repository. */
async function startArena(t: Test, user: ServerUser) {
  const world = await makeWorld(t);
  const { gemini, github } = world;
  const arena = await createAgentArena(world.dir, gemini, AGENT_ATTACKS, user);
  t.teardown(() => arena.close());
  await github.addRepository('acme/hostile');
  await github.commit('acme/hostile', { files: arena.repository() });
  // Always with the sandbox: some of the attacks would change the machine.
  const server = await startServerAs(t, world, user, {
    SANDBOX: 'bubblewrap',
    GEMINI_API_KEY: KEY,
    GITHUB_TOKEN: TOKEN,
    HOME: arena.home,
  });
  const repo_url = 'https://github.com/acme/hostile';
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'O-1', repo_url, title: 'canary-of-the-store' });
  await writeFile(join(arena.arena.other, 'secret.txt'), 'canary-of-another-ticket\n');
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'H-1', repo_url });
  return { world, server, arena };
}

/**
 * Runs every attack of the table with the real agent in the real server, several in a run, for each user in parallel.
 * `node test/attacks/prove-agent-attacks.ts` shows that the attacks succeed without the defences.
 */
t.jobs = SERVER_USERS.length;
for (const user of SERVER_USERS) {
  t.test(`an agent attacks a server of the user ${user.name}`, { skip: user.skip, buffered: true }, async (t) => {
    const { world, server, arena } = await startArena(t, user);
    for (const prompt of PROMPTS) {
      t.test(`the attacks during ${prompt} do no harm`, async (t) => {
        arena.script(prompt, LAST[prompt]);
        const action = { make_plan: 'make_plan', chat: 'chat', command: 'chat', dev: 'dev', 'next dev': 'dev' }[prompt];
        const finished = await run(server, 'H-1', { action, message: MESSAGES[prompt] });
        t.match(finished.run, { state: 'succeeded' });
        const diff = await call(server, 'GET', '/v1/tickets/H-1/diff');
        const repository = join(world.dir, 'gh/acme/hostile.git');
        const branch = execFileSync('git', ['--git-dir', repository, 'log', '--all', '-p'], { encoding: 'utf8' });
        const pulls = world.github.pulls('acme/hostile').map(({ body }) => body);
        const published = JSON.stringify([finished, diff.body, pulls]) + branch;
        const { answered, verdicts } = await arena.judge(prompt, join(world.dir, 'tickets/H-1'), published);
        t.ok(answered, 'the agent made every call');
        for (const { attack, output, harm } of verdicts) t.notOk(harm, attack.name, { output });
      });
    }
  });
}
