import t from 'tap';
import { browse } from '../helpers/browser.ts';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

/** What is typed while something is being sent: none is lost, and nothing is sent twice. */
const world = await makeWorld(t);
world.gemini.on(/Action: make_plan/, [{ text: '# Plan\n\n## Goal\n\nA plan.' }]);
world.gemini.on('first thought', [{ text: 'Yes.' }]);
const server = await startServer(t, world);
const { page, faults } = await browse(t, server.url);
await call(server, 'POST', '/v1/tickets', { ticket_id: 'TYPE-1', repo_url: REPO });
await run(server, 'TYPE-1', { action: 'make_plan' });
const kept = (name: string) => page.evaluate<string | null>(`sessionStorage.getItem('pullwright:${name}:TYPE-1')`);

/** Holds requests back until the test says what becomes of them, and counts them. */
async function hold(method: string, path: string) {
  let sent = 0;
  const { promise: fate, resolve: end } = Promise.withResolvers<'goes on' | 'is lost'>();
  const first = page.waitForRequest((request) => request.method() === method && request.url().endsWith(path));
  await page.route(`**${path}`, async (route) => {
    if (route.request().method() !== method) return route.continue();
    sent++;
    return (await fate) === 'goes on' ? route.continue() : route.abort();
  });
  return { first, sent: () => sent, end };
}

t.test('a plan is saved once, and what one types meanwhile is never thrown away', async (t) => {
  await page.goto('/dashboard/tickets/TYPE-1/plan');
  await page.getByRole('button', { name: 'Edit' }).click();
  const text = page.getByLabel('Plan as Markdown');
  await text.fill('# Mine\n');
  const failing = await hold('PUT', '/v1/tickets/TYPE-1/plan');
  await text.press('Control+Enter');
  await failing.first;
  await text.press('Control+Enter');
  await text.press('x');
  t.equal(await text.inputValue(), '# Mine\n', 'it is read-only while it is being saved');
  t.ok(await page.getByRole('button', { name: 'Discard the edit' }).isDisabled());
  failing.end('is lost');
  await page.getByRole('alert').getByText('The server does not answer').waitFor();
  t.equal(failing.sent(), 1);
  t.equal(await text.inputValue(), '# Mine\n');

  const saving = await hold('PUT', '/v1/tickets/TYPE-1/plan');
  await text.press('Control+Enter');
  await saving.first;
  await page.getByRole('link', { name: 'Conversation' }).click();
  await page.getByRole('navigation', { name: 'Parts of the ticket' }).getByRole('link', { name: /^Plan/ }).click();
  await text.fill('# Mine, and more\n');
  saving.end('goes on');
  await page.getByText('Version 2 was saved meanwhile.').waitFor();
  t.equal(await text.inputValue(), '# Mine, and more\n');
  await page.reload();
  await page.getByText('Version 2 was saved meanwhile.').waitFor();
  t.equal(await text.inputValue(), '# Mine, and more\n', 'nor by an answer that comes late');
  await page.getByRole('button', { name: 'Go on from version 2' }).click();
  await page.getByRole('button', { name: 'Save as a new version' }).click();
  await page.getByRole('heading', { name: 'Mine, and more' }).waitFor();
  t.equal(await kept('plan'), null);
});

t.test('a message is sent once, and what one types meanwhile is never thrown away', async (t) => {
  await page.getByRole('link', { name: 'Conversation' }).click();
  const text = page.getByLabel('Message');
  await text.fill('first thought');
  const sending = await hold('POST', '/v1/tickets/TYPE-1/runs');
  await text.press('Control+Enter');
  await sending.first;
  await text.press('Control+Enter');
  await text.press('x');
  t.equal(await text.inputValue(), 'first thought', 'it is read-only while it is being sent');
  sending.end('goes on');
  await page.getByRole('article').getByText('Yes.').waitFor();
  await page.locator('textarea:not([readonly])').waitFor();
  t.equal(sending.sent(), 1);
  t.equal(await text.inputValue(), '');
  t.equal(await kept('message'), null);
  t.strictSame(faults, []);
});
