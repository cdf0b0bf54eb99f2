import { execFileSync } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { EventSourceMessage } from 'eventsource-parser';
import t, { type Test } from 'tap';
import { call, frames, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer, type World } from '../helpers/server.ts';
import { wrapGit } from '../helpers/wrap-git.ts';

/** Makes git wait for `letPass` before it lists the tickets of a mirror. */
async function makeGate(t: Test, { dir }: World) {
  const gate = join(dir, 'gate');
  execFileSync('mkfifo', [gate]);
  const wait = `case " $* " in *" refs/tickets/ "*) read -r word < '${gate}' ;; esac`;
  // Opening for writing only would wait for a reader.
  const file = await open(gate, 'r+');
  t.teardown(() => file.close());
  return { PATH: await wrapGit(join(dir, 'bin'), wait), letPass: () => file.write('pass\n') };
}

t.test('an earlier deletion does not affect a ticket that is created again', async (t) => {
  const world = await makeWorld(t);
  const { PATH, letPass } = await makeGate(t, world);
  const server = await startServer(t, world, { PATH });
  const create = () => call(server, 'POST', '/v1/tickets', { ticket_id: 'T-1', repo_url: REPO });
  t.equal((await create()).status, 201);
  const feed = frames(await fetch(new URL('/v1/events', server.url)));
  t.teardown(() => feed.return(undefined));
  const readUntil = async (matches: (frame: EventSourceMessage) => boolean) => {
    for (;;) {
      const { value, done } = await feed.next();
      if (done === true || matches(value)) return;
    }
  };
  await readUntil(({ event }) => event === 'snapshot');

  const deletions = [];
  for (const _ of ['one', 'another']) {
    deletions.push(call(server, 'DELETE', '/v1/tickets/T-1?force=true'));
    await readUntil(({ event, data }) => event === 'ticket.updated' && JSON.parse(data).state === 'deleting');
  }
  await letPass();
  await Promise.race(deletions);
  const creating = create();
  await readUntil(({ event }) => event === 'ticket.created');
  // Lets the second deletion continue, if it does.
  await letPass();
  t.match(await creating, { status: 201, body: { state: 'ready' } });
  for (const { status } of await Promise.all(deletions)) t.equal(status, 204);
  t.match((await call(server, 'GET', '/v1/tickets/T-1')).body, { state: 'ready' });
  t.match((await run(server, 'T-1', { action: 'chat', message: 'are you there' })).run, { state: 'succeeded' });
  await server.stop();
});
