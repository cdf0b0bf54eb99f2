import t from 'tap';
import { browse } from '../helpers/browser.ts';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';
import { violations } from './axe.ts';

/** Runs whose events the test sends itself: in large numbers, and at chosen moments. */
const world = await makeWorld(t);
const server = await startServer(t, world);
const { page, faults } = await browse(t, server.url);
world.gemini.on('anything', [{ text: 'Something.' }]);
await call(server, 'POST', '/v1/tickets', { ticket_id: 'LONG-1', repo_url: REPO });
const { run: real } = await run(server, 'LONG-1', { action: 'chat', message: 'anything' });
const path = `/dashboard/runs/${real.run_id}`;

/** Formats an event as a frame of the stream. */
const frame = (seq: number, type: string, data: object) =>
  `id: ${seq}\nevent: ${type}\ndata: ${JSON.stringify({ seq, run_id: real.run_id, time: new Date().toISOString(), type, data })}\n\n`;

/** Formats tool calls, two events each, with the odd numbers from `first` to `last`. */
function calls(first: number, last: number): string {
  const frames: string[] = [];
  for (let seq = first; seq <= last; seq += 2) {
    const tool = { tool_call_id: `t${seq}`, title: `src/file-${seq}.ts`, kind: 'read', status: 'completed' };
    frames.push(frame(seq, 'tool.started', tool), frame(seq + 1, 'tool.updated', { ...tool, output: 'x' }));
  }
  return frames.join('');
}

const ended = (seq: number) =>
  frame(seq, 'run.succeeded', { usage: { input_tokens: 1, output_tokens: 1, cached_tokens: 0 }, duration_ms: 1 });

/** Presents the run as running. Returns a function that sends a part of its stream, which breaks off after each part. */
async function streamParts(): Promise<(part: string) => void> {
  const parts: string[] = [];
  const waiting: ((part: string) => void)[] = [];
  await page.route(`**/v1/runs/${real.run_id}`, (route) =>
    route.fulfill({ json: { ...real, state: 'running', finished_at: undefined } }),
  );
  await page.route(`**/v1/runs/${real.run_id}/events`, async (route) => {
    const part = parts.shift() ?? (await new Promise<string>((resolve) => waiting.push(resolve)));
    // The page may be gone by now.
    await route.fulfill({ contentType: 'text/event-stream', body: `retry: 1\n\n${part}` }).catch(() => {});
  });
  return (part) => {
    const answer = waiting.shift();
    if (answer === undefined) parts.push(part);
    else answer(part);
  };
}

const distanceToEnd = () => page.evaluate<number>('document.documentElement.scrollHeight - innerHeight - scrollY');
const row = (number: number) => page.locator('details.tool', { hasText: `src/file-${number}.ts` });

t.test('the page renders the last 800 steps when a run has ten thousand events', async (t) => {
  const stream = { contentType: 'text/event-stream', body: calls(1, 9999) + ended(10_001) };
  await page.route('**/v1/runs/*/events', (route) => route.fulfill(stream), { times: 1 });
  await page.goto(path);
  await row(9999).waitFor({ state: 'attached' });
  t.equal(await page.locator('details.tool').count(), 800);
  await page.getByRole('button', { name: 'Show 800 of 4,200 earlier steps' }).click();
  await page.getByRole('button', { name: 'Show 800 of 3,400 earlier steps' }).waitFor();
  await page.goto('about:blank');
});

t.test('the page scrolls with a long run at its end, and stays in place above it', async (t) => {
  const send = await streamParts();
  await page.goto(path);
  send(calls(1, 1999));
  await row(1999).waitFor();
  t.ok((await distanceToEnd()) < 5, 'at the end');
  t.equal(await page.locator('details.tool').count(), 800);

  await row(501).scrollIntoViewIfNeeded();
  await page.getByRole('button', { name: 'Jump to latest' }).waitFor();
  const before = await row(501).boundingBox();
  send(calls(2001, 2999));
  await row(2999).waitFor({ state: 'attached' });
  t.strictSame(await row(501).boundingBox(), before, 'the text in view does not move');

  await page.getByRole('button', { name: 'Jump to latest' }).click();
  await row(2999).waitFor();
  send(calls(3001, 3001));
  await row(3001).waitFor();
  t.equal(await page.locator('details.tool').count(), 800, 'earlier steps are hidden again');
  t.ok((await distanceToEnd()) < 5, 'at the end again');
  await page.goto('about:blank');
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

t.test('a ticket shows the to-do list of the agent, and tool calls with kind, duration and diff', async (t) => {
  const entry = (content: string, status: string) => ({ content, priority: 'high', status });
  const entries = [entry('Look around', 'completed'), entry('Write it', 'in_progress'), entry('Test it', 'pending')];
  const tool = { tool_call_id: 'made', title: 'Writing to new.ts', kind: 'edit', status: 'completed' };
  const diff = [{ path: 'new.ts', new_text: 'one\ntwo' }];
  const body = [
    frame(1, 'plan.entries', { entries: [entry('Look around', 'in_progress')] }),
    frame(2, 'tool.started', { ...tool, status: 'in_progress' }),
    frame(3, 'tool.updated', { ...tool, diff }),
    frame(4, 'plan.entries', { entries }),
    ended(5),
  ].join('');
  await page.route('**/v1/runs/*/events', (route) => route.fulfill({ contentType: 'text/event-stream', body }), {
    times: 1,
  });
  await page.goto('/dashboard/tickets/LONG-1');
  const list = page.locator('.card', { has: page.getByRole('heading', { name: 'Agent to-do list' }) });
  await list.getByText('Test it').waitFor();
  t.strictSame(await list.getByRole('listitem').allTextContents(), [
    '✓Done: Look around',
    '◐In progress: Write it',
    '○To do: Test it',
  ]);
  for (const width of [1280, 400]) {
    await page.setViewportSize({ width, height: 860 });
    const summary = page.locator('details.tool summary');
    await summary.getByText('edit', { exact: true }).waitFor();
    t.match(await summary.textContent(), /Writing to new\.ts, done\+2 −0\d+ ms/);
  }
  await page.locator('details.tool summary').click();
  await page.locator('.diff .add').nth(1).waitFor();
  t.strictSame(await page.locator('.diff .add > span:last-child').allTextContents(), ['one', 'two']);
  t.strictSame(await violations(page), []);
  t.strictSame(faults, []);
});
