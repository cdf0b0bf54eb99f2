import t from 'tap';
import { seed } from '../../bench/seed.ts';
import type { Run } from '../../schemas/run.ts';
import { browse } from '../helpers/browser.ts';
import { call } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

/** Lists in an open page: the change feed alone adds new items, and each list keeps its requested length. */
const world = await makeWorld(t);
const { gemini } = world;
await seed(`${world.env.DATA_DIR}`, { tickets: 500, events: 10, bytes: 10 });
const server = await startServer(t, world, { MAX_CONCURRENT_RUNS: '1' });
const { page, faults } = await browse(t, server.url);

/** The requests of the page for lists since the last call of `takeRequests`. */
const requests: string[] = [];
page.on('request', (request) => {
  const { pathname, search } = new URL(request.url());
  if (/^\/v1\/(?:tickets|runs|tickets\/[^/]+\/runs)$/.test(pathname) && request.method() === 'GET')
    requests.push(pathname + search.replace(/cursor=[^&]+/, 'cursor'));
});
function takeRequests(): string[] {
  return requests.splice(0).sort();
}

const create = (ticket_id: string) =>
  call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO, title: 'Fresh' });
const start = async (ticketId: string, message: string) =>
  (await call<Run>(server, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'chat', message })).body;
const rows = (list: 'Tickets' | 'Runs') => page.getByRole('list', { name: list }).getByRole('link');
const row = (list: 'Tickets' | 'Runs', id: string) => rows(list).filter({ has: page.getByText(id, { exact: true }) });

/** Reads the ids of the newest tickets from the API. */
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

t.test('a new ticket appears on top without a request, and further pages miss no ticket', async (t) => {
  await page.goto('/dashboard/');
  await row('Tickets', 'T-401').waitFor();
  await page.getByRole('button', { name: 'Load more' }).click();
  await row('Tickets', 'T-301').waitFor();
  t.strictSame(takeRequests(), ['/v1/tickets?limit=100', '/v1/tickets?limit=100&cursor']);
  for (const id of ['N-1', 'N-2', 'N-3']) {
    await create(id);
    await row('Tickets', id).waitFor();
    t.equal(await rows('Tickets').count(), 200);
  }
  t.strictSame(takeRequests(), []);
  t.strictSame(await shownTickets(), await newest(200));
  await page.getByRole('button', { name: 'Load more' }).click();
  await row('Tickets', 'T-204').waitFor();
  t.strictSame(takeRequests(), ['/v1/tickets?limit=97&cursor']);
  t.strictSame(await shownTickets(), await newest(300));
  await call(server, 'DELETE', '/v1/tickets/N-3?force=true');
  await row('Tickets', 'N-3').waitFor({ state: 'detached' });
  await row('Tickets', 'T-203').waitFor();
  t.strictSame(await shownTickets(), await newest(300));
});

t.test('a list contains a ticket that the feed reports while an older answer is on its way', async (t) => {
  await row('Tickets', 'N-1').click();
  await page.getByRole('heading', { level: 1, name: 'Fresh' }).waitFor();
  const { promise: reported, resolve: report } = Promise.withResolvers<void>();
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  await page.route(
    '**/v1/tickets?*',
    async (route) => {
      const response = await route.fetch();
      answer();
      await reported;
      await route.fulfill({ response });
    },
    { times: 1 },
  );
  const read = page.waitForResponse((response) => response.url().includes('/v1/tickets?'));
  await page.getByRole('link', { name: 'Tickets', exact: true }).first().click();
  await answered;
  await create('N-4');
  // The feed has no further events of this ticket.
  await row('Tickets', 'N-4').getByText('New', { exact: true }).waitFor();
  report();
  await (await read).finished();
  await create('N-5');
  await row('Tickets', 'N-5').waitFor();
  t.equal(await row('Tickets', 'N-4').count(), 1);
});

t.test('the list of runs updates states by the feed alone', async (t) => {
  gemini.on('stay', [{ hang: true }, { text: 'Stayed.' }]);
  await page.goto('/dashboard/runs');
  await row('Runs', 'T-451').waitFor();
  takeRequests();
  await start('N-1', 'stay');
  const first = row('Runs', 'N-1');
  await first.getByText('Running').waitFor();
  t.equal(await rows('Runs').count(), 50);
  await page.getByRole('button', { name: 'Running' }).click();
  await first.waitFor();
  t.strictSame(takeRequests(), ['/v1/runs?limit=50&state=running']);
  await gemini.waitFor((request) => request.prompt.includes('stay') && request.state === 'held');
  gemini.release();
  await page.getByRole('heading', { name: 'No runs in this state' }).waitFor();
  t.strictSame(takeRequests(), []);
  await page.getByRole('button', { name: 'All' }).click();
  await first.getByText('Succeeded').waitFor();
  t.equal(await rows('Runs').count(), 50);
  t.strictSame(takeRequests(), ['/v1/runs?limit=50']);
});

t.test('queued runs move up, and a conversation keeps the runs that it shows', async (t) => {
  gemini.on('stand', [{ hang: true }]);
  const running = await start('N-2', 'stand');
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
  takeRequests();
  for (let number = 13; number <= 22; number++) await cancel(await ask(number));
  await question(22).getByText('Canceled').waitFor();
  t.equal(await page.getByRole('article').count(), 23, 'all runs remain visible');
  t.strictSame(takeRequests(), []);

  const next = await ask(23);
  await question(23).getByText('Next in the queue').waitFor();
  await ask(24);
  await question(24).getByText('Position 2 in the queue').waitFor();
  takeRequests();
  await cancel(next);
  await question(24).getByText('Next in the queue').waitFor();
  t.strictSame(takeRequests(), ['/v1/tickets/N-2/runs?limit=25']);
  await cancel(running);
  t.strictSame(faults, []);
});
