import t from 'tap';
import { browse } from '../helpers/browser.ts';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';
import { violations } from './axe.ts';

/** Runs whose events come as the test has them: many, and at moments of its choice. */
const world = await makeWorld(t);
const server = await startServer(t, world);
const { page, faults } = await browse(t, server.url);
world.gemini.on('anything', [{ text: 'Something.' }]);
await call(server, 'POST', '/v1/tickets', { ticket_id: 'LONG-1', repo_url: REPO });
const { run: real } = await run(server, 'LONG-1', { action: 'chat', message: 'anything' });
const path = `/dashboard/runs/${real.run_id}`;

/** An event as a frame of the stream. */
const frame = (seq: number, type: string, data: object) =>
  `id: ${seq}\nevent: ${type}\ndata: ${JSON.stringify({ seq, run_id: real.run_id, time: new Date().toISOString(), type, data })}\n\n`;

/** Tool calls with odd numbers from the first to the last, of two events each. */
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

/** The run goes on for as long as the page is told so; the stream breaks off after each part, and the next is sent on. */
async function streamed(): Promise<(part: string) => void> {
  const parts: string[] = [];
  const asking: ((part: string) => void)[] = [];
  await page.route(`**/v1/runs/${real.run_id}`, (route) =>
    route.fulfill({ json: { ...real, state: 'running', finished_at: undefined } }),
  );
  await page.route(`**/v1/runs/${real.run_id}/events`, async (route) => {
    const part = parts.shift() ?? (await new Promise<string>((resolve) => asking.push(resolve)));
    // The page may have gone on meanwhile.
    await route.fulfill({ contentType: 'text/event-stream', body: `retry: 1\n\n${part}` }).catch(() => {});
  });
  return (part) => {
    const answer = asking.shift();
    if (answer === undefined) parts.push(part);
    else answer(part);
  };
}

const left = () => page.evaluate<number>('document.documentElement.scrollHeight - innerHeight - scrollY');
const row = (number: number) => page.locator('details.tool', { hasText: `src/file-${number}.ts` });

t.test('ten thousand events are gathered, and no more is drawn than one can look at', async (t) => {
  const stream = { contentType: 'text/event-stream', body: calls(1, 9999) + ended(10_001) };
  await page.route('**/v1/runs/*/events', (route) => route.fulfill(stream), { times: 1 });
  await page.goto(path);
  await row(9999).waitFor({ state: 'attached' });
  t.equal(await page.locator('details.tool').count(), 800);
  await page.getByRole('button', { name: 'Show 800 of 4,200 earlier steps' }).click();
  await page.getByRole('button', { name: 'Show 800 of 3,400 earlier steps' }).waitFor();
  await page.goto('about:blank');
});

t.test('who reads at the end of a long run reads along; who reads above it is left alone', async (t) => {
  const send = await streamed();
  await page.goto(path);
  send(calls(1, 1999));
  await row(1999).waitFor();
  t.ok((await left()) < 5, 'at the end');
  t.equal(await page.locator('details.tool').count(), 800);

  await row(501).scrollIntoViewIfNeeded();
  await page.getByRole('button', { name: 'Newest' }).waitFor();
  const before = await row(501).boundingBox();
  send(calls(2001, 2999));
  await row(2999).waitFor({ state: 'attached' });
  t.strictSame(await row(501).boundingBox(), before, 'what one reads stays where it is');

  await page.getByRole('button', { name: 'Newest' }).click();
  await row(2999).waitFor();
  send(calls(3001, 3001));
  await row(3001).waitFor();
  t.equal(await page.locator('details.tool').count(), 800, 'the rest is put away again');
  t.ok((await left()) < 5, 'at the end again');
  await page.goto('about:blank');
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

t.test('the to-do list of the agent, and tool rows with kind, duration and diff', async (t) => {
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
  const list = page.locator('.card', { has: page.getByRole('heading', { name: 'The agent’s to-do list' }) });
  await list.getByText('Test it').waitFor();
  t.strictSame(await list.getByRole('listitem').allTextContents(), [
    '✓Done: Look around',
    '◐Under way: Write it',
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
