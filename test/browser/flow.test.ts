import { join } from 'node:path';
import t from 'tap';
import { chatMessage, sampleScripts, ticket } from '../../standins/sample-ticket.ts';
import { browse } from '../helpers/browser.ts';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';
import { violations } from './axe.ts';

/** The path of a user from an empty server to a pull request. `SCREENSHOTS` names a folder for screenshots of it. */
const SCREENSHOTS = process.env.SCREENSHOTS;

const world = await makeWorld(t);
world.gemini.script(sampleScripts);
const server = await startServer(t, world);
const { page, faults } = await browse(t, server.url);

async function screenshot(name: string): Promise<void> {
  if (SCREENSHOTS === undefined) return;
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${scheme}.png`) });
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

t.test('the ticket list explains the three commands when it is empty', async (t) => {
  await page.goto('/');
  t.match(page.url(), /\/dashboard\/$/);
  await page.getByRole('heading', { name: /three commands/ }).waitFor();
  t.equal(await page.title(), 'Tickets · Pullwright');
  t.strictSame(await violations(page), []);
});

t.test('the form creates a ticket after it shows a validation error beside its field', async (t) => {
  await page.keyboard.press('c');
  const form = page.getByRole('dialog', { name: 'New ticket' });
  await form.getByLabel('Ticket id').fill('no spaces please');
  await form.getByLabel('Repository').fill(REPO);
  await form.getByLabel(/^Title/).fill(ticket.title);
  await form.getByLabel(/^Description/).fill(ticket.description);
  await form.getByRole('button', { name: 'Create ticket' }).click();
  await form.locator('#ticket_id[aria-invalid=true]').waitFor();
  t.equal(
    await form.locator('#ticket_id-hint.wrong').textContent(),
    'Letters, digits and inner hyphens, such as REL-123.',
  );
  t.strictSame(await violations(page), []);

  await page.keyboard.press('Escape');
  await page.reload();
  await page.getByRole('button', { name: 'New ticket' }).click();
  t.equal(await form.getByLabel('Ticket id').inputValue(), 'no spaces please', 'the draft survives a reload');
  await form.getByLabel('Ticket id').fill(ticket.ticket_id);
  await form.getByRole('button', { name: 'Create ticket' }).click();
  await page.getByRole('heading', { level: 1, name: ticket.title }).waitFor();
  t.match(page.url(), /\/dashboard\/tickets\/REL-123$/);
});

t.test('a chat shows its answer and tool calls', async (t) => {
  await page.getByText('No messages yet').waitFor();
  await page.keyboard.press('c');
  await page.keyboard.type(chatMessage);
  await page.keyboard.press('Control+Enter');
  const chat = page.getByRole('article').first();
  await chat.getByText('Succeeded').waitFor();
  t.equal(await chat.locator('.prompt').textContent(), chatMessage);
  t.equal(await chat.locator('.markdown li').count(), 2, 'Markdown is rendered as a list');
  t.ok((await chat.locator('details.tool').count()) >= 2);
  const tool = chat.locator('details.tool').first();
  t.match(await tool.locator('summary').textContent(), /read.*format\.ts/);
  await tool.locator('summary').click();
  await tool.locator('.tool-body').waitFor();
  t.equal(await page.getByLabel('Message').inputValue(), '');
  t.strictSame(await violations(page), []);
});

t.test('a plan can be made, read, edited, compared and approved', async (t) => {
  await page.getByRole('button', { name: 'Make plan' }).first().click();
  await page.locator('.composer button[type=submit]').click();
  await page.getByRole('link', { name: 'View plan 1' }).click();
  await page.getByRole('heading', { name: 'Carry over when rounding fills the last unit' }).waitFor();
  await screenshot('plan');
  t.strictSame(await violations(page), []);

  await page.getByRole('button', { name: 'Edit' }).click();
  const text = page.getByLabel('Plan as Markdown');
  const mine = `${await text.inputValue()}\n- Mind leap seconds.\n`;
  await text.fill(mine);
  const path = `/v1/tickets/${ticket.ticket_id}/plan`;
  const other = await call(server, 'PUT', path, { body: '# Another plan\n' }, { 'if-match': '"1"' });
  t.equal(other.status, 200, 'another client saves a version');
  await page.getByText('Version 2 was saved while you were editing.').waitFor();
  await page.reload();
  await page.getByText('Version 2 was saved while you were editing.').waitFor();
  t.equal(await text.inputValue(), mine, 'the draft survives a reload');
  await page.getByRole('button', { name: 'Show differences' }).click();
  await page.locator('.diff .add', { hasText: 'Mind leap seconds.' }).waitFor();
  await page.locator('.diff .del', { hasText: '# Another plan' }).waitFor();
  t.strictSame(await violations(page), []);
  await page.getByRole('button', { name: 'Continue from version 2' }).click();
  await page.getByRole('button', { name: 'Save new version' }).click();

  await page.getByText('Mind leap seconds.').waitFor();
  await page.getByLabel('Compare with').selectOption('1');
  await page.locator('.diff .add', { hasText: 'Mind leap seconds.' }).waitFor();
  t.match(page.url(), /\?against=1$/, 'a comparison has a URL');
  await page.getByLabel('Version', { exact: true }).selectOption('2');
  await page.getByText('This is an older version.').waitFor();
  await page.goto(`/dashboard/tickets/${ticket.ticket_id}/plan`);
  await page.getByRole('button', { name: 'Approve version 3' }).click();
  await page.getByText('Approved', { exact: true }).waitFor();
  t.match((await call(server, 'GET', path)).body, { version: 3, approved_at: String, author: 'person' });
});

t.test('the editor reports a newer version when only the server has it', async (t) => {
  const path = `/v1/tickets/${ticket.ticket_id}/plan`;
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByLabel('Plan as Markdown').fill('# Mine\n');
  // The page receives no event of the other version before it saves.
  await page.route(
    '**/v1/tickets/*/plan',
    async (route) => {
      await call(server, 'PUT', path, { body: '# Theirs\n' }, { 'if-match': '"3"' });
      await route.continue();
    },
    { times: 1 },
  );
  await page.getByRole('button', { name: 'Save new version' }).click();
  await page.getByText('Version 4 was saved while you were editing.').waitFor();
  t.equal(await page.getByLabel('Plan as Markdown').inputValue(), '# Mine\n');
  await page.getByRole('button', { name: 'Discard changes' }).click();
  await page.getByRole('heading', { name: 'Theirs' }).waitFor();
});

t.test('dev opens a pull request and shows its changes', async (t) => {
  await page.getByRole('link', { name: 'Conversation' }).click();
  await page.getByRole('button', { name: 'Dev', exact: true }).click();
  await page.getByRole('button', { name: 'Start dev' }).click();
  const dev = page.getByRole('article', { name: /^Dev/ });
  await dev.getByText('Succeeded').waitFor();
  await page.locator('aside').getByRole('link', { name: /^#1 / }).waitFor();
  const edit = dev
    .locator('details.tool', { hasText: 'format.ts' })
    .filter({ has: page.locator('.plus') })
    .first();
  await edit.locator('summary').click();
  await edit.locator('.diff .add').first().waitFor();
  t.strictSame(await violations(page), []);
  await edit.locator('summary').click();
  await page.getByRole('button', { name: 'Chat', exact: true }).click();
  await page.evaluate('scrollTo(0, document.documentElement.scrollHeight)');
  await page.getByRole('button', { name: 'Jump to latest' }).waitFor({ state: 'hidden' });
  await screenshot('conversation');

  await dev.getByRole('link', { name: /files? changed/ }).click();
  const file = page.locator('details.file', { hasText: 'src/format.ts' });
  await file.locator('.diff .add', { hasText: 'function rounded(' }).waitFor();
  await page.getByRole('navigation', { name: 'Changed files' }).getByText('test/format.test.ts').click();
  t.match(page.url(), /#file-test%2Fformat\.test\.ts$/, 'a file has a URL');
  await page.setViewportSize({ width: 1280, height: 300 });
  await page.reload();
  await page.locator('details.file').nth(1).waitFor();
  await page.evaluate(`new Promise((seen) =>
    new IntersectionObserver(([entry]) => entry.isIntersecting && seen())
      .observe(document.querySelectorAll('details.file')[1]))`);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.evaluate('scrollTo(0, 0)');
  t.strictSame(await violations(page), []);
  await screenshot('changes');
});

t.test('the ticket list supports search, filters and keyboard navigation', async (t) => {
  const more = [
    { ticket_id: 'REL-131', title: 'Parse lengths with a leading plus sign' },
    { ticket_id: 'REL-140', title: 'Say which unit was not understood' },
    { ticket_id: 'OPS-7', title: 'Release notes from the change log' },
  ];
  for (const each of more) await call(server, 'POST', '/v1/tickets', { ...each, repo_url: REPO });
  world.gemini.on('cannot', [{ error: { status: 401 } }]);
  await run(server, 'REL-140', { action: 'chat', message: 'What cannot be parsed?' });
  await page.keyboard.press('g');
  await page.keyboard.press('t');
  const rows = page.getByRole('list', { name: 'Tickets' }).getByRole('link');
  await rows.nth(3).waitFor();
  t.equal(await rows.count(), 4);
  await screenshot('tickets');
  t.strictSame(await violations(page), []);
  await page.keyboard.press('/');
  await page.keyboard.type('plus sign');
  await page.getByText('1 ticket', { exact: true }).waitFor();
  t.match(page.url(), /\?q=plus\+sign/);
  await page.getByLabel('Search tickets').fill('');
  await page.getByRole('button', { name: /^Failed/ }).click();
  await page.getByText('1 ticket', { exact: true }).waitFor();
  await page.goBack();
  await page.goto('/dashboard/');
  await rows.first().waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Release notes' }).waitFor();
});

t.test('the palette opens a ticket, and ? opens the shortcuts', async (t) => {
  await page.locator('main').focus();
  await page.keyboard.press('Control+k');
  await page.getByRole('dialog', { name: 'Jump to' }).waitFor();
  await page.keyboard.type('hour');
  t.equal(await page.getByRole('option').count(), 1);
  t.strictSame(await violations(page), []);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: ticket.title }).waitFor();
  await page.locator('main').focus();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  t.strictSame(await violations(page), []);
  await page.keyboard.press('Escape');
});

t.test('the pages Usage, Runs and Agents show the finished work', async (t) => {
  await page.goto('/dashboard/usage');
  await page.locator('.chart canvas').waitFor();
  t.strictSame(await violations(page), []);
  await page.getByRole('button', { name: 'By ticket' }).click();
  await page.getByRole('link', { name: ticket.ticket_id }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await page.getByRole('list', { name: 'Runs' }).getByRole('link').nth(3).waitFor();
  t.strictSame(await violations(page), []);
  await page.getByRole('button', { name: 'Failed' }).click();
  await page.getByRole('list', { name: 'Runs' }).getByRole('link').click();
  await page.getByRole('article').getByText('Failed').waitFor();
  t.strictSame(await violations(page), []);
  await page.goto('/dashboard/agents');
  await page.getByText('Healthy').waitFor();
  t.strictSame(await violations(page), []);
  await page.goto('/dashboard/nowhere');
  await page.getByRole('heading', { name: 'Page not found' }).waitFor();
  await page.goto('/dashboard/tickets/NONE-1');
  await page.getByRole('heading', { name: 'Ticket NONE-1 not found' }).waitFor();
});

t.test('the page raised no error and sent no request elsewhere', async (t) => {
  t.strictSame(faults, []);
});
