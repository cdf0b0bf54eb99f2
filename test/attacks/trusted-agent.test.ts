import t from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld } from '../helpers/server.ts';
import { SERVER_USERS, startServerAs } from '../helpers/users.ts';
import { createAgentArena } from './agent-arena.ts';
import { AGENT_ATTACKS, KEY, MESSAGES, TOKEN } from './agent-attacks.ts';
import { withoutDefences } from './client-arena.ts';

/**
 * Tests the isolation alone: Gemini CLI trusts the repository and obeys its settings, as if an attacker could force that.
 * Programs that the settings start are in the sandbox and can damage only the branch of their ticket.
 */
const GEMINI = 'src/agents/gemini/gemini.ts';
const TRUSTING = {
  edits: [
    { file: GEMINI, from: "GEMINI_CLI_TRUST_WORKSPACE: 'false'", to: "GEMINI_CLI_TRUST_WORKSPACE: 'true'" },
    { file: GEMINI, from: 'hooksConfig: { enabled: false }', to: 'hooksConfig: { enabled: true }' },
  ],
};
/** Attacks that the test skips: the agent waits half a minute for each MCP server, and hooks show the same. */
const SLOW = /MCP server/;
const settings = AGENT_ATTACKS.filter(
  ({ name, during, settings }) => during === 'dev' && settings !== undefined && !SLOW.test(name),
);
const commands = AGENT_ATTACKS.filter(({ during, calls }) => during === 'dev' && calls !== undefined);

t.jobs = SERVER_USERS.length;
for (const user of SERVER_USERS) {
  const name = `a repository cannot escape the sandbox of the user ${user.name} when the agent trusts it`;
  t.test(name, { skip: user.skip, buffered: true }, async (t) => {
    const world = await makeWorld(t);
    const arena = await createAgentArena(world.dir, world.gemini, [...settings, ...commands], user);
    t.teardown(() => arena.close());
    await world.github.addRepository('acme/hostile');
    await world.github.commit('acme/hostile', { files: arena.repository() });
    const { env, nodeArgs } = withoutDefences(TRUSTING);
    const secrets = { GEMINI_API_KEY: KEY, GITHUB_TOKEN: TOKEN, HOME: arena.home };
    const server = await startServerAs(t, world, user, { SANDBOX: 'bubblewrap', ...secrets, ...env }, nodeArgs);
    await call(server, 'POST', '/v1/tickets', { ticket_id: 'H-1', repo_url: 'https://github.com/acme/hostile' });
    arena.script('make_plan', { text: '# Goal\n\nDo it.' });
    await run(server, 'H-1', { action: 'make_plan', message: MESSAGES.make_plan });
    arena.script('dev', { text: 'Done.' });
    const finished = await run(server, 'H-1', { action: 'dev', message: MESSAGES.dev });
    t.match(finished.run, { state: 'succeeded' });
    const { answered, verdicts } = await arena.judge('dev', `${world.dir}/tickets/H-1`, JSON.stringify(finished));
    t.ok(answered, 'the agent made every call');
    const obeyed = verdicts.filter(({ attack, harm }) => settings.includes(attack) && harm);
    t.ok(obeyed.length > 0, `the agent obeys settings: ${obeyed.map(({ attack }) => attack.name)}`);
    t.notOk(
      obeyed.some(({ attack }) => /telemetry/.test(attack.name)),
      'no telemetry is sent',
    );
    for (const { attack, harm } of verdicts) if (commands.includes(attack)) t.notOk(harm, attack.name);
  });
}
