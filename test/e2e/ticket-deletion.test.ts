import { execFileSync } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { EventSourceMessage } from 'eventsource-parser';
import t, { type Test } from 'tap';
import { call, frames, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer, type World } from '../helpers/server.ts';
import { wrapGit } from '../helpers/wrap-git.ts';

/** A git that waits, before it tells what tickets borrow from a mirror, until it is let pass. */
async function makeGate(t: Test, { dir }: World) {
  const gate = join(dir, 'gate');
  execFileSync('mkfifo', [gate]);
  const wait = `case " $* " in *" refs/tickets/ "*) read -r word < '${gate}' ;; esac`;
  // For writing alone, it would wait for a reader.
  const file = await open(gate, 'r+');
  t.teardown(() => file.close());
  return { PATH: await wrapGit(join(dir, 'bin'), wait), letPass: () => file.write('pass\n') };
}

t.test('a ticket that is created again is no matter of those who removed the one before', async (t) => {
  const world = await makeWorld(t);
  const { PATH, letPass } = await makeGate(t, world);
  const server = await startServer(t, world, { PATH });
  const create = () => call(server, 'POST', '/v1/tickets', { ticket_id: 'T-1', repo_url: REPO });
  t.equal((await create()).status, 201);
  const feed = frames(await fetch(new URL('/v1/events', server.url)));
  t.teardown(() => feed.return(undefined));
  const told = async (holds: (frame: EventSourceMessage) => boolean) => {
    for (;;) {
      const { value, done } = await feed.next();
      if (done === true || holds(value)) return;
    }
  };
  await told(({ event }) => event === 'snapshot');

  const removals = [];
  for (const _ of ['one', 'another']) {
    removals.push(call(server, 'DELETE', '/v1/tickets/T-1?force=true'));
    await told(({ event, data }) => event === 'ticket.updated' && JSON.parse(data).state === 'deleting');
  }
  await letPass();
  await Promise.race(removals);
  const creating = create();
  await told(({ event }) => event === 'ticket.created');
  // The second removal, if it goes on now.
  await letPass();
  t.match(await creating, { status: 201, body: { state: 'ready' } });
  for (const { status } of await Promise.all(removals)) t.equal(status, 204);
  t.match((await call(server, 'GET', '/v1/tickets/T-1')).body, { state: 'ready' });
  t.match((await run(server, 'T-1', { action: 'chat', message: 'are you there' })).run, { state: 'succeeded' });
  await server.stop();
});
