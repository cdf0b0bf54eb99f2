import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { call, events } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const { gemini } = world;
const server = await startServer(t, world, { MAX_CONCURRENT_RUNS: '1', MAX_QUEUED_RUNS: '6', API_KEY: ADMIN_KEY });
const one = await makeKey(server, { scopes: ['chat'] });
const other = await makeKey(server, { scopes: ['chat'] });
const held = (text: string) => gemini.waitFor((request) => request.prompt.includes(text) && request.state === 'held');
const ask = (ticketId: string, message: string, headers: Record<string, string>) =>
  call<Run>(server, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'chat', message }, headers);
const read = async (id: string): Promise<Run> =>
  (await call<Run>(server, 'GET', `/v1/runs/${id}`, undefined, asAdmin)).body;

/** Releases the blocking run and returns the order in which the others started. */
async function order(runs: { body: Run }[]): Promise<string[]> {
  gemini.release();
  const started = await Promise.all(
    runs.map(async ({ body }) => {
      const log = await events(server, body.run_id, { headers: asAdmin });
      return { name: body.message ?? '', time: log.find((event) => event.type === 'run.started')?.time ?? '' };
    }),
  );
  return started.toSorted((a, b) => a.time.localeCompare(b.time)).map(({ name }) => name);
}

for (const ticket_id of ['Q-1', 'Q-2', 'Q-3', 'Q-4']) {
  await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO }, asAdmin);
}

t.test('keys alternate, and each run reports its queue position', async (t) => {
  gemini.on('first of one', [{ hang: true }, { text: 'at last' }]);
  await ask('Q-1', 'first of one', one.headers);
  await held('first of one');
  const second = await ask('Q-2', 'second of one', one.headers);
  t.match(second.body, { queue_position: 1, estimated_wait_s: null }, 'no estimate yet');
  const third = await ask('Q-3', 'third of one', one.headers);
  const late = await ask('Q-4', 'first of other', other.headers);
  t.match(late.body, { queue_position: 1 }, 'a key without a running run comes first');
  const queued = (await call(server, 'GET', '/v1/runs?state=queued', undefined, asAdmin)).body.items;
  t.match(
    queued.map((run: Run) => [run.message, run.queue_position]),
    [
      ['first of other', 1],
      ['third of one', 3],
      ['second of one', 2],
    ],
  );
  const log = await events(server, late.body.run_id, { until: () => true, headers: asAdmin });
  t.match(log[0], { type: 'run.queued', data: { position: 1, estimated_wait_s: null } });
  t.strictSame(await order([second, third, late]), ['first of other', 'second of one', 'third of one']);
});

t.test('tickets of a key alternate, and runs of a ticket keep their order across keys', async (t) => {
  gemini.on('hold up', [{ hang: true }, { text: 'at last' }]);
  await ask('Q-1', 'hold up', one.headers);
  await held('hold up');
  const runs = [
    await ask('Q-1', 'one 1', one.headers),
    await ask('Q-1', 'one 2', one.headers),
    await ask('Q-2', 'two 1', one.headers),
    await ask('Q-1', 'one 3', other.headers),
  ];
  t.ok(Number.isInteger(runs[0]?.body.estimated_wait_s), 'an estimate is available');
  t.strictSame(await order(runs), ['two 1', 'one 1', 'one 2', 'one 3']);
});

t.test('a full queue answers 429 with Retry-After', async (t) => {
  gemini.on('hold again', [{ hang: true }, { text: 'at last' }]);
  await ask('Q-1', 'hold again', one.headers);
  await held('hold again');
  const runs: { body: Run }[] = [];
  for (let index = 0; index < 6; index += 1) runs.push(await ask('Q-2', `wait ${index}`, one.headers));
  const positions = await Promise.all(runs.map(async ({ body }) => (await read(body.run_id)).queue_position));
  t.strictSame(positions, [1, 2, 3, 4, 5, 6]);
  const full = await ask('Q-3', 'too many', other.headers);
  t.match(full, { status: 429, body: { code: 'queue_full' } });
  t.ok(Number(full.headers.get('retry-after')) >= 1);
  for (const { body } of runs) await call(server, 'POST', `/v1/runs/${body.run_id}/cancel`, undefined, asAdmin);
  gemini.release();
});
