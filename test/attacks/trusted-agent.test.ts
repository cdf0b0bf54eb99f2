import t from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld } from '../helpers/server.ts';
import { SERVER_USERS, startServerAs } from '../helpers/users.ts';
import { createAgentArena } from './agent-arena.ts';
import { AGENT_ATTACKS, KEY, MESSAGES, TOKEN } from './agent-attacks.ts';
import { lacking } from './client-arena.ts';

/**
 * The walls without the agent's own caution: Gemini CLI is made to trust the repository, as if that could be forced, and
 * obeys its settings. What they start is in the sandbox, so that it may spoil the branch of its ticket and nothing else.
 */
const GEMINI = 'src/agents/gemini/gemini.ts';
const TRUSTING = {
  edits: [
    { file: GEMINI, from: "GEMINI_CLI_TRUST_WORKSPACE: 'false'", to: "GEMINI_CLI_TRUST_WORKSPACE: 'true'" },
    { file: GEMINI, from: 'hooksConfig: { enabled: false }', to: 'hooksConfig: { enabled: true }' },
  ],
};
/** Waits half a minute for each server of tools that never answers, and says nothing else than the hooks do. */
const WAITS = /server of tools/;
const settings = AGENT_ATTACKS.filter(
  ({ name, during, settings }) => during === 'dev' && settings !== undefined && !WAITS.test(name),
);
const commands = AGENT_ATTACKS.filter(({ during, calls }) => during === 'dev' && calls !== undefined);

t.jobs = SERVER_USERS.length;
for (const user of SERVER_USERS) {
  const name = `what a repository starts in an agent that trusts it does not leave the sandbox, for the user ${user.name}`;
  t.test(name, { skip: user.skip, buffered: true }, async (t) => {
    const world = await makeWorld(t);
    const arena = await createAgentArena(world.dir, world.gemini, [...settings, ...commands], user);
    t.teardown(() => arena.close());
    await world.github.addRepository('acme/hostile');
    await world.github.commit('acme/hostile', { files: arena.repository() });
    const { env, nodeArgs } = lacking(TRUSTING);
    const secrets = { GEMINI_API_KEY: KEY, GITHUB_TOKEN: TOKEN, HOME: arena.home };
    const server = await startServerAs(t, world, user, { SANDBOX: 'bubblewrap', ...secrets, ...env }, nodeArgs);
    await call(server, 'POST', '/v1/tickets', { ticket_id: 'H-1', repo_url: 'https://github.com/acme/hostile' });
    arena.script('make_plan', { text: '# Goal\n\nDo it.' });
    await run(server, 'H-1', { action: 'make_plan', message: MESSAGES.make_plan });
    arena.script('dev', { text: 'Done.' });
    const ended = await run(server, 'H-1', { action: 'dev', message: MESSAGES.dev });
    t.match(ended.run, { state: 'succeeded' });
    const { answered, verdicts } = await arena.judge('dev', `${world.dir}/tickets/H-1`, JSON.stringify(ended));
    t.ok(answered, 'every call was made');
    const obeyed = verdicts.filter(({ attack, harm }) => settings.includes(attack) && harm);
    t.ok(obeyed.length > 0, `it does trust it: ${obeyed.map(({ attack }) => attack.name)}`);
    t.notOk(
      obeyed.some(({ attack }) => /telemetry/.test(attack.name)),
      'nothing is sent',
    );
    for (const { attack, harm } of verdicts) if (commands.includes(attack)) t.notOk(harm, attack.name);
  });
}
