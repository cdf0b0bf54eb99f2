import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { createRandom } from '../attacks/random.ts';
import { frames } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const ROUNDS = 40;
const IDS = ['RACE-0', 'RACE-1', 'RACE-2'] as const;
const MANY = '100000';

const world = await makeWorld(t);
// A sandbox would only slow down the start of agents.
const settings = {
  SANDBOX: 'none',
  RATE_LIMIT_PER_MINUTE: MANY,
  KEY_RATE_LIMIT_PER_MINUTE: MANY,
  MAX_RUNS_PER_KEY: '1000',
};
const server = await startServer(t, world, settings);
const random = createRandom(7);
world.gemini.on('hello', [{ text: 'Good day.' }]);

type Answer = { request: string; status: number; text: string };

async function ask(method: string, path: string, body?: object): Promise<Answer> {
  // A random number of earlier requests varies the timing.
  for (let ahead = random.below(6); ahead > 0; ahead--) await (await fetch(new URL('/livez', server.url))).text();
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const sent = { method, headers, body: body === undefined ? null : JSON.stringify(body) };
  const answer = await fetch(new URL(path, server.url), sent);
  return { request: `${method} ${path}`, status: answer.status, text: await answer.text() };
}

/** Writes a file into the workspace, if it exists, as a person would. */
async function leaveFile(id: string, round: number): Promise<Answer> {
  await writeFile(join(world.dir, 'tickets', id, `${round}.txt`), 'x').catch(() => {});
  return { request: 'nothing', status: 200, text: '' };
}

/** Returns the concurrent requests of one round in random order. */
function requestsOf(round: number, id: string): (() => Promise<Answer>)[] {
  const path = `/v1/tickets/${id}`;
  const ticket = { ticket_id: id, repo_url: REPO };
  const every = (rounds: number, send: () => Promise<Answer>) => (round % rounds === 0 ? [send] : []);
  const requests = [
    ...Array(2).fill(() => ask('POST', '/v1/tickets', ticket)),
    () => ask('POST', '/create_ticket', ticket),
    ...Array(2).fill(() => ask('DELETE', `${path}?force=true`)),
    () => ask('DELETE', path),
    () => ask('GET', path),
    ...Array(2).fill(() => ask('GET', `${path}/diff`)),
    () => ask('GET', `${path}/plan`),
    () => ask('GET', `${path}/runs`),
    ...Array(2).fill(() => ask('POST', `${path}/sync`)),
    () => leaveFile(id, round),
    ...every(4, () => ask('POST', '/command', { ticket_id: id, action: 'chat', message: 'hello' })),
    ...every(4, () => ask('POST', `${path}/runs`, { action: 'chat', message: 'hello' })),
    ...every(8, () => ask('POST', '/v1/housekeeping')),
  ];
  return requests
    .map((send) => ({ send, at: random.below(1000) }))
    .sort((one, other) => one.at - other.at)
    .map(({ send }) => send);
}

/** Collects the data of the change feed until the server stops. */
async function listen(): Promise<string[]> {
  const received: string[] = [];
  const stream = await fetch(new URL('/v1/events', server.url));
  for await (const { data } of frames(stream)) received.push(data);
  return received;
}

t.test('requests that race with a deletion get client errors, and no response names a path', async (t) => {
  const listening = listen();
  const answers: Answer[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const id = random.pick(IDS);
    if (random.chance(0.7)) answers.push(await ask('POST', '/v1/tickets', { ticket_id: id, repo_url: REPO }));
    answers.push(...(await Promise.all(requestsOf(round, id).map((send) => send()))));
  }
  const isFault = ({ request, status }: Answer) =>
    status >= 500 || (status === 404 && /^POST \/(?:v1\/tickets|create_ticket)$/.test(request));
  t.strictSame(answers.filter(isFault), []);

  for (const id of IDS) await ask('DELETE', `/v1/tickets/${id}?force=true`);
  const left = (...folders: string[]) =>
    readdirSync(join(world.dir, ...folders)).filter((name) => !name.startsWith('.'));
  t.strictSame([left('tickets'), left('data', 'gitdirs')], [[], []], 'no folder remains without a ticket');

  const runs: { items: { run_id: string }[] } = JSON.parse((await ask('GET', '/v1/runs?limit=100')).text);
  for (const { run_id } of runs.items) answers.push(await ask('GET', `/v1/runs/${run_id}/events`));
  await server.stop();
  const texts = [...answers.map(({ text }) => text), ...(await listening)];
  const folders = [world.dir, process.cwd()];
  t.strictSame(
    texts.filter((text) => folders.some((folder) => text.includes(folder))),
    [],
  );
});
