import { join } from 'node:path';
import t from 'tap';
import type { RunEvent } from '../../schemas/event.ts';
import { call, events, run } from '../helpers/client.ts';
import { processesIn } from '../helpers/processes.ts';
import { makeWorld, REPO } from '../helpers/server.ts';
import { SERVER_USERS, startServerAs } from '../helpers/users.ts';
import { STUCK_ATTACKS } from './stuck-attacks.ts';

/** Whether a run has reached the step that has git read the workspace, or its end. */
const isCommitting = ({ type, data }: RunEvent) =>
  (type === 'step.started' && 'step' in data && data.step === 'commit') || /^run\.(succeeded|failed)$/.test(type);

t.jobs = SERVER_USERS.length;
for (const user of SERVER_USERS) {
  t.test(
    `a server of the user ${user.name} is stuck in no workspace`,
    { skip: user.skip, buffered: true },
    async (t) => {
      const world = await makeWorld(t);
      const { gemini } = world;
      const server = await startServerAs(t, world, user, { SANDBOX: 'bubblewrap', MAX_CONCURRENT_RUNS: '2' });
      /** How many commands of git went on until their limit. */
      const endedByLimits = async () =>
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

        const leaving = new AbortController();
        const reading = fetch(new URL(`/v1/tickets/${ticketId}/diff`, server.url), { signal: leaving.signal });
        reading.catch(() => {});
        const other = await run(server, 'OTHER-1', { action: 'chat', message: 'hello' });
        t.match(other.run, { state: 'succeeded' }, `${name}: another ticket works`);
        leaving.abort();
        while (programs().some((words) => /\bgit\b/.test(words))) await new Promise((resolve) => setImmediate(resolve));
        const before = await endedByLimits();

        gemini.release(({ prompt }) => prompt.includes(message));
        await events(server, started, { until: isCommitting });
        await call(server, 'POST', `/v1/runs/${started}/cancel`);
        const types = (await events(server, started)).map(({ type }) => type);
        const ends = types.filter((type) => /^run\.(succeeded|failed|canceled)$/.test(type));
        t.equal(ends.length, 1, `${name}: the run ends`);
        if (endless) t.equal(ends[0], 'run.canceled', `${name}: by the cancel`);
        t.equal(await endedByLimits(), before, `${name}: and git by no limit of time`);
        t.equal(types.at(-1), ends[0], `${name}: and nothing comes after`);
        t.equal(
          (await call(server, 'DELETE', `/v1/tickets/${ticketId}?force=true`)).status,
          204,
          `${name}: it is deleted`,
        );
        while (programs().length > 0) await new Promise((resolve) => setImmediate(resolve));
      }
    },
  );
}
