import { join } from 'node:path';
import t from 'tap';
import type { RunEvent } from '../../schemas/event.ts';
import { call, events, run } from '../helpers/client.ts';
import { processesIn } from '../helpers/processes.ts';
import { makeWorld, REPO } from '../helpers/server.ts';
import { SERVER_USERS, startServerAs } from '../helpers/users.ts';
import { STUCK_ATTACKS } from './stuck-attacks.ts';

/** Returns whether a run has reached the step in which git reads the workspace, or has finished. */
const isCommitting = ({ type, data }: RunEvent) =>
  (type === 'step.started' && 'step' in data && data.step === 'commit') || /^run\.(succeeded|failed)$/.test(type);

t.jobs = SERVER_USERS.length;
for (const user of SERVER_USERS) {
  t.test(
    `a server of the user ${user.name} cancels runs and serves other tickets when git hangs in a workspace`,
    { skip: user.skip, buffered: true },
    async (t) => {
      const world = await makeWorld(t);
      const { gemini } = world;
      const server = await startServerAs(t, world, user, { SANDBOX: 'bubblewrap', MAX_CONCURRENT_RUNS: '2' });
      /** Returns the metrics of git commands that timed out. */
      const gitTimeouts = async () =>
        ((await call<string>(server, 'GET', '/metrics')).body.match(/^.*git.*timed_out.*$/gm) ?? []).join('\n');
      const create = (ticket_id: string) => call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
      await create('OTHER-1');
      gemini.on(/Action: make_plan/, [{ text: '# Goal\n\nDo it.' }]);
      for (const [index, { name, command, endless }] of STUCK_ATTACKS.entries()) {
        const ticketId = `STUCK-${index}`;
        const programs = () => processesIn(join(world.dir, 'tickets', ticketId)).map(({ command: words }) => words);
        await create(ticketId);
        gemini.on(`Do it ${index}.`, [
          { calls: [{ name: 'run_shell_command', args: { command: `${command}; echo work > work.txt` } }] },
          { hang: true },
          { text: 'Done.' },
        ]);
        const message = `Do it ${index}.`;
        const { body } = await call(server, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'dev', message });
        const started = body.run_id;
        await gemini.waitFor(({ prompt, state }) => prompt.includes(message) && state === 'held');

        const abort = new AbortController();
        const reading = fetch(new URL(`/v1/tickets/${ticketId}/diff`, server.url), { signal: abort.signal });
        reading.catch(() => {});
        const other = await run(server, 'OTHER-1', { action: 'chat', message: 'hello' });
        t.match(other.run, { state: 'succeeded' }, `${name}: a run of another ticket succeeds`);
        abort.abort();
        while (programs().some((words) => /\bgit\b/.test(words))) await new Promise((resolve) => setImmediate(resolve));
        const before = await gitTimeouts();

        gemini.release(({ prompt }) => prompt.includes(message));
        await events(server, started, { until: isCommitting });
        await call(server, 'POST', `/v1/runs/${started}/cancel`);
        const types = (await events(server, started)).map(({ type }) => type);
        const terminal = types.filter((type) => /^run\.(succeeded|failed|canceled)$/.test(type));
        t.equal(terminal.length, 1, `${name}: the run has one terminal event`);
        if (endless) t.equal(terminal[0], 'run.canceled', `${name}: the run is canceled`);
        t.equal(await gitTimeouts(), before, `${name}: no git command times out`);
        t.equal(types.at(-1), terminal[0], `${name}: the terminal event is the last`);
        t.equal(
          (await call(server, 'DELETE', `/v1/tickets/${ticketId}?force=true`)).status,
          204,
          `${name}: the ticket can be deleted`,
        );
        while (programs().length > 0) await new Promise((resolve) => setImmediate(resolve));
      }
    },
  );
}
