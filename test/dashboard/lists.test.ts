import t from 'tap';
import { seed } from '../../bench/seed.ts';
import type { Run } from '../../schemas/run.ts';
import { browse } from '../helpers/browser.ts';
import { call } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

/** Lists in an open page: what is new comes in by the feed alone, and as much is shown as was asked for. */
const world = await makeWorld(t);
const { gemini } = world;
await seed(`${world.env.DATA_DIR}`, { tickets: 500, events: 10, bytes: 10 });
const server = await startServer(t, world, { MAX_CONCURRENT_RUNS: '1' });
const { page, faults } = await browse(t, server.url);

/** What the page has asked of lists, since it was last looked at. */
const asked: string[] = [];
page.on('request', (request) => {
  const { pathname, search } = new URL(request.url());
  if (/^\/v1\/(?:tickets|runs|tickets\/[^/]+\/runs)$/.test(pathname) && request.method() === 'GET')
    asked.push(pathname + search.replace(/cursor=[^&]+/, 'cursor'));
});
function askedSince(): string[] {
  return asked.splice(0).sort();
}

const create = (ticket_id: string) =>
  call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO, title: 'Fresh' });
const start = async (ticketId: string, message: string) =>
  (await call<Run>(server, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'chat', message })).body;
const rows = (list: 'Tickets' | 'Runs') => page.getByRole('list', { name: list }).getByRole('link');
const row = (list: 'Tickets' | 'Runs', id: string) => rows(list).filter({ has: page.getByText(id, { exact: true }) });

/** The ids of as many tickets as the API has, newest first. */
async function newest(count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let cursor = ''; ids.length < count; ) {
    const { body } = await call(server, 'GET', `/v1/tickets?limit=100${cursor}`);
    ids.push(...body.items.map(({ ticket_id }: { ticket_id: string }) => ticket_id));
    cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
  }
  return ids.slice(0, count);
}
const shownTickets = () => page.locator('.tickets .ticket-id').allTextContents();

t.test('tickets come on top, none is asked for again, and none is missing further down', async (t) => {
  await page.goto('/dashboard/');
  await row('Tickets', 'T-401').waitFor();
  await page.getByRole('button', { name: 'Load more' }).click();
  await row('Tickets', 'T-301').waitFor();
  t.strictSame(askedSince(), ['/v1/tickets?limit=100', '/v1/tickets?limit=100&cursor']);
  for (const id of ['N-1', 'N-2', 'N-3']) {
    await create(id);
    await row('Tickets', id).waitFor();
    t.equal(await rows('Tickets').count(), 200);
  }
  t.strictSame(askedSince(), []);
  t.strictSame(await shownTickets(), await newest(200));
  await page.getByRole('button', { name: 'Load more' }).click();
  await row('Tickets', 'T-204').waitFor();
  t.strictSame(askedSince(), ['/v1/tickets?limit=97&cursor']);
  t.strictSame(await shownTickets(), await newest(300));
  await call(server, 'DELETE', '/v1/tickets/N-3?force=true');
  await row('Tickets', 'N-3').waitFor({ state: 'detached' });
  await row('Tickets', 'T-203').waitFor();
  t.strictSame(await shownTickets(), await newest(300));
});

t.test('what is told while a list is being read is in it, though the answer is older', async (t) => {
  await row('Tickets', 'N-1').click();
  await page.getByRole('heading', { level: 1, name: 'Fresh' }).waitFor();
  const { promise: told, resolve: tell } = Promise.withResolvers<void>();
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  await page.route(
    '**/v1/tickets?*',
    async (route) => {
      const response = await route.fetch();
      answer();
      await told;
      await route.fulfill({ response });
    },
    { times: 1 },
  );
  const read = page.waitForResponse((response) => response.url().includes('/v1/tickets?'));
  await page.getByRole('link', { name: 'Tickets', exact: true }).first().click();
  await answered;
  await create('N-4');
  // Nothing more is told of it.
  await row('Tickets', 'N-4').getByText('New', { exact: true }).waitFor();
  tell();
  await (await read).finished();
  await create('N-5');
  await row('Tickets', 'N-5').waitFor();
  t.equal(await row('Tickets', 'N-4').count(), 1);
});

t.test('runs change their place and their state by what is told', async (t) => {
  gemini.on('stay', [{ hang: true }, { text: 'Stayed.' }]);
  await page.goto('/dashboard/runs');
  await row('Runs', 'T-451').waitFor();
  askedSince();
  await start('N-1', 'stay');
  const first = row('Runs', 'N-1');
  await first.getByText('Running').waitFor();
  t.equal(await rows('Runs').count(), 50);
  await page.getByRole('button', { name: 'Running' }).click();
  await first.waitFor();
  t.strictSame(askedSince(), ['/v1/runs?limit=50&state=running']);
  await gemini.waitFor((request) => request.prompt.includes('stay') && request.state === 'held');
  gemini.release();
  await page.getByRole('heading', { name: 'No run is in this state' }).waitFor();
  t.strictSame(askedSince(), []);
  await page.getByRole('button', { name: 'All' }).click();
  await first.getByText('Succeeded').waitFor();
  t.equal(await rows('Runs').count(), 50);
  t.strictSame(askedSince(), ['/v1/runs?limit=50']);
});

t.test('those that wait in the queue move up, and a conversation keeps what is shown of it', async (t) => {
  gemini.on('stand', [{ hang: true }]);
  const standing = await start('N-2', 'stand');
  await gemini.waitFor((request) => request.prompt.includes('stand') && request.state === 'held');
  const ask = (number: number) => start('N-2', `question ${number}.`);
  const cancel = ({ run_id }: Run) => call(server, 'POST', `/v1/runs/${run_id}/cancel`);
  for (let number = 1; number <= 12; number++) await cancel(await ask(number));
  await page.goto('/dashboard/tickets/N-2');
  const question = (number: number) => page.getByRole('article').filter({ hasText: `question ${number}.` });
  await question(12).waitFor();
  t.equal(await page.getByRole('article').count(), 10);
  await page.getByRole('button', { name: 'Show earlier runs' }).click();
  await question(1).waitFor();
  await page.getByRole('button', { name: 'Show earlier runs' }).waitFor({ state: 'detached' });
  askedSince();
  for (let number = 13; number <= 22; number++) await cancel(await ask(number));
  await question(22).getByText('Canceled').waitFor();
  t.equal(await page.getByRole('article').count(), 23, 'what was shown is still there');
  t.strictSame(askedSince(), []);

  const next = await ask(23);
  await question(23).getByText('Next in the queue').waitFor();
  await ask(24);
  await question(24).getByText('Number 2 in the queue').waitFor();
  askedSince();
  await cancel(next);
  await question(24).getByText('Next in the queue').waitFor();
  t.strictSame(askedSince(), ['/v1/tickets/N-2/runs?limit=25']);
  await cancel(standing);
  t.strictSame(faults, []);
});
