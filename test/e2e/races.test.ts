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
// Agents in a sandbox would only take longer to start.
const settings = {
  SANDBOX: 'none',
  RATE_LIMIT_PER_MINUTE: MANY,
  KEY_RATE_LIMIT_PER_MINUTE: MANY,
  MAX_RUNS_PER_KEY: '1000',
};
const server = await startServer(t, world, settings);
const random = createRandom(7);
world.gemini.on('hello', [{ text: 'Good day.' }]);

type Answer = { asked: string; status: number; text: string };

async function ask(method: string, path: string, body?: object): Promise<Answer> {
  // A few requests that come before make each race another one.
  for (let ahead = random.below(6); ahead > 0; ahead--) await (await fetch(new URL('/livez', server.url))).text();
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const sent = { method, headers, body: body === undefined ? null : JSON.stringify(body) };
  const answer = await fetch(new URL(path, server.url), sent);
  return { asked: `${method} ${path}`, status: answer.status, text: await answer.text() };
}

/** A person leaves a file in the workspace, if it is there. */
async function leaveFile(id: string, round: number): Promise<Answer> {
  await writeFile(join(world.dir, 'tickets', id, `${round}.txt`), 'x').catch(() => {});
  return { asked: 'nothing', status: 200, text: '' };
}

/** What is asked for in one round, all at once and in an order of its own. */
function movesOf(round: number, id: string): (() => Promise<Answer>)[] {
  const path = `/v1/tickets/${id}`;
  const ticket = { ticket_id: id, repo_url: REPO };
  const every = (rounds: number, move: () => Promise<Answer>) => (round % rounds === 0 ? [move] : []);
  const moves = [
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
  return moves
    .map((move) => ({ move, at: random.below(1000) }))
    .sort((one, other) => one.at - other.at)
    .map(({ move }) => move);
}

/** Everything that the feed of changes says, until the server stops. */
async function listen(): Promise<string[]> {
  const told: string[] = [];
  const stream = await fetch(new URL('/v1/events', server.url));
  for await (const { data } of frames(stream)) told.push(data);
  return told;
}

t.test('requests that race with a removal are refused as requests, and name no path of the server', async (t) => {
  const listening = listen();
  const answers: Answer[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const id = random.pick(IDS);
    if (random.chance(0.7)) answers.push(await ask('POST', '/v1/tickets', { ticket_id: id, repo_url: REPO }));
    answers.push(...(await Promise.all(movesOf(round, id).map((move) => move()))));
  }
  const isFault = ({ asked, status }: Answer) =>
    status >= 500 || (status === 404 && /^POST \/(?:v1\/tickets|create_ticket)$/.test(asked));
  t.strictSame(answers.filter(isFault), []);

  for (const id of IDS) await ask('DELETE', `/v1/tickets/${id}?force=true`);
  const left = (...folders: string[]) =>
    readdirSync(join(world.dir, ...folders)).filter((name) => !name.startsWith('.'));
  t.strictSame([left('tickets'), left('data', 'gitdirs')], [[], []], 'nothing is left that no ticket owns');

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
