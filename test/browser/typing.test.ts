import t from 'tap';
import { browse } from '../helpers/browser.ts';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

/** Typing while a request is being sent: no text is lost, and no request is sent twice. */
const world = await makeWorld(t);
world.gemini.on(/Action: make_plan/, [{ text: '# Plan\n\n## Goal\n\nA plan.' }]);
world.gemini.on('first thought', [{ text: 'Yes.' }]);
const server = await startServer(t, world);
const { page, faults } = await browse(t, server.url);
await call(server, 'POST', '/v1/tickets', { ticket_id: 'TYPE-1', repo_url: REPO });
await run(server, 'TYPE-1', { action: 'make_plan' });
const draft = (name: string) => page.evaluate<string | null>(`sessionStorage.getItem('pullwright:${name}:TYPE-1')`);

/** Holds and counts requests until the test continues or aborts them. */
async function hold(method: string, path: string) {
  let sent = 0;
  const { promise: outcome, resolve: release } = Promise.withResolvers<'continue' | 'abort'>();
  const first = page.waitForRequest((request) => request.method() === method && request.url().endsWith(path));
  await page.route(`**${path}`, async (route) => {
    if (route.request().method() !== method) return route.continue();
    sent++;
    return (await outcome) === 'continue' ? route.continue() : route.abort();
  });
  return { first, sent: () => sent, release };
}

t.test('the plan editor saves once and keeps text typed during a save', async (t) => {
  await page.goto('/dashboard/tickets/TYPE-1/plan');
  await page.getByRole('button', { name: 'Edit' }).click();
  const text = page.getByLabel('Plan as Markdown');
  await text.fill('# Mine\n');
  const failing = await hold('PUT', '/v1/tickets/TYPE-1/plan');
  await text.press('Control+Enter');
  await failing.first;
  await text.press('Control+Enter');
  await text.press('x');
  t.equal(await text.inputValue(), '# Mine\n', 'the field is read-only during the save');
  t.ok(await page.getByRole('button', { name: 'Discard changes' }).isDisabled());
  failing.release('abort');
  await page.getByRole('alert').getByText('Cannot reach the server').waitFor();
  t.equal(failing.sent(), 1);
  t.equal(await text.inputValue(), '# Mine\n');

  const saving = await hold('PUT', '/v1/tickets/TYPE-1/plan');
  await text.press('Control+Enter');
  await saving.first;
  await page.getByRole('link', { name: 'Conversation' }).click();
  await page.getByRole('navigation', { name: 'Ticket sections' }).getByRole('link', { name: /^Plan/ }).click();
  await text.fill('# Mine, and more\n');
  saving.release('continue');
  await page.getByText('Version 2 was saved while you were editing.').waitFor();
  t.equal(await text.inputValue(), '# Mine, and more\n');
  await page.reload();
  await page.getByText('Version 2 was saved while you were editing.').waitFor();
  t.equal(await text.inputValue(), '# Mine, and more\n', 'a late answer does not overwrite it');
  await page.getByRole('button', { name: 'Continue from version 2' }).click();
  await page.getByRole('button', { name: 'Save new version' }).click();
  await page.getByRole('heading', { name: 'Mine, and more' }).waitFor();
  t.equal(await draft('plan'), null);
});

t.test('the message form sends once and is read-only while it sends', async (t) => {
  await page.getByRole('link', { name: 'Conversation' }).click();
  const text = page.getByLabel('Message');
  await text.fill('first thought');
  const sending = await hold('POST', '/v1/tickets/TYPE-1/runs');
  await text.press('Control+Enter');
  await sending.first;
  await text.press('Control+Enter');
  await text.press('x');
  t.equal(await text.inputValue(), 'first thought', 'the field is read-only during the request');
  sending.release('continue');
  await page.getByRole('article').getByText('Yes.').waitFor();
  await page.locator('textarea:not([readonly])').waitFor();
  t.equal(sending.sent(), 1);
  t.equal(await text.inputValue(), '');
  t.equal(await draft('message'), null);
  t.strictSame(faults, []);
});
