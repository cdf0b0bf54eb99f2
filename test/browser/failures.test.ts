import type { Page } from 'playwright-core';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { browse } from '../helpers/browser.ts';
import { call } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';
import { violations } from './axe.ts';

/** Failures under an open page: keys, restarts, lost networks, hostile texts, broken pages. */
const world = await makeWorld(t);
const { gemini } = world;
const settings = { API_KEY: ADMIN_KEY, ASK_PERMISSION: 'execute', AUTH_FAILURES_PER_MINUTE: '1000' };
const owner = t;
let server = await startServerProcess(owner, world, settings);
const { context, page, faults } = await browse(t, server.url);

async function signIn(key: string): Promise<void> {
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

async function createTicket(id: string, title: string): Promise<void> {
  const { status } = await call(server, 'POST', '/v1/tickets', { ticket_id: id, repo_url: REPO, title }, asAdmin);
  if (status !== 201) throw new Error(`creating the ticket failed: ${status}`);
}

async function start(id: string, request: object): Promise<Run> {
  return (await call<Run>(server, 'POST', `/v1/tickets/${id}/runs`, request, asAdmin)).body;
}

const held = (text: string) => gemini.waitFor((request) => request.prompt.includes(text) && request.state === 'held');
const article = (on: Page, name = /./) => on.getByRole('article', { name }).last();

t.test('a link opens its page after sign-in', async (t) => {
  await createTicket('OPS-1', 'Signs of trouble');
  await page.goto('/dashboard/tickets/OPS-1');
  await page.getByRole('heading', { name: 'Sign in to Pullwright' }).waitFor();
  t.equal(await page.evaluate('document.activeElement.name'), 'key', 'the field has the focus');
  t.strictSame(await violations(page), []);
  await signIn('a-key-that-is-wrong');
  await page.getByRole('alert').getByText('The API key is not valid.').waitFor();
  await signIn(ADMIN_KEY);
  await page.getByRole('heading', { level: 1, name: 'Signs of trouble' }).waitFor();
  t.equal(await page.evaluate('document.cookie'), '', 'scripts cannot read the session');
  t.equal(await page.evaluate('localStorage.length'), 0, 'the key is not stored');
});

t.test('hostile Markdown is rendered as text', async (t) => {
  const hostile = [
    '<img src="https://evil.example/1.png" onerror="document.title=\'owned\'">',
    '<script>document.title="owned"</script>',
    '![pixel](https://evil.example/2.png)',
    '[click](javascript:document.title="owned") [data](data:text/html,<script>1</script>) [rel](/v1/keys)',
    '[spaced]( java\tscript:alert(1)) <javascript:alert(1)>',
    '<iframe src="https://evil.example/"></iframe><style>body{display:none}</style>',
    '# One\n\n##### Five',
    '| a | b |\n|---|---|\n| <b onclick=alert(1)>x</b> | [ok](https://example.org/) |',
    '```html\n<svg onload=alert(1)>\n```',
    '- [x] done <a href="https://evil.example">a</a>',
  ].join('\n\n');
  gemini.on('be hostile', [{ text: hostile }]);
  await start('OPS-1', { action: 'chat', message: 'be hostile' });
  const chat = article(page, /^Chat/);
  await chat.getByText('Succeeded').waitFor();
  const markdown = chat.locator('.markdown').last();
  await markdown.getByText('[image: pixel]').waitFor();
  t.equal(await markdown.locator('img, script, iframe, style, svg, b, form, input').count(), 0);
  const links: string[] = await page.evaluate(`[...document.querySelectorAll('.markdown a')].map((link) => link.href)`);
  t.strictSame(
    links.filter((link) => !link.startsWith('https://')),
    [],
    'all links use https',
  );
  t.ok(links.includes('https://example.org/'));
  t.match(await markdown.textContent(), /<script>document\.title="owned"<\/script>/);
  t.notMatch(await page.title(), /owned/);
  t.strictSame(await violations(page), []);
  t.strictSame(faults, [], 'no request went to another server');
});

t.test('Markdown is shown as plain text where its nesting is too deep', async (t) => {
  const nested = ['- '.repeat(700), '1. '.repeat(700), '>'.repeat(1000), '- '.repeat(3000)].map((text) => `${text}x`);
  const card = page.locator('.card', { has: page.getByRole('heading', { name: 'Description' }) });
  for (const [index, text] of nested.entries()) {
    const description = `- fine\n\n${'> '.repeat(40)}quoted\n\n${text}`;
    await call(server, 'POST', '/v1/tickets', { ticket_id: `DEEP-${index}`, repo_url: REPO, description }, asAdmin);
    await page.goto(`/dashboard/tickets/DEEP-${index}`);
    await card.waitFor();
    t.ok((await card.locator('pre').textContent())?.endsWith(text));
  }
  await page.goto('/dashboard/tickets/DEEP-0');
  t.equal(await card.getByRole('listitem').first().textContent(), 'fine');
  t.equal(await card.locator('blockquote').count(), 40);
  t.strictSame(await violations(page), []);
  t.strictSame(faults, []);
});

t.test('a page that fails to render shows an error, and other pages still open', async (t) => {
  await page.route('**/v1/agents', (route) => route.fulfill({ json: { agents: 'none' } }));
  await page.getByRole('link', { name: 'Agents' }).click();
  await page.getByRole('alert').getByText('Unexpected error in the dashboard').waitFor();
  t.strictSame(await violations(page), []);
  await page.getByRole('link', { name: 'Runs', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'Runs' }).waitFor();
  await page.getByRole('link', { name: 'Agents' }).click();
  await page.getByRole('button', { name: 'Reload page' }).waitFor();
  await page.unroute('**/v1/agents');
  await page.getByRole('button', { name: 'Reload page' }).click();
  await page.getByText('Healthy').waitFor();
  t.strictSame(faults, []);
  await page.goto('/dashboard/tickets/OPS-1');
});

t.test('a page shows an error when its script cannot be loaded', async (t) => {
  await page.route('**/assets/usage-*.js', (route) => route.fulfill({ status: 404 }));
  await page.getByRole('link', { name: 'Usage' }).click();
  await page.getByRole('heading', { level: 1, name: 'This page cannot be displayed' }).waitFor();
  t.strictSame(await violations(page), []);
  await page.unroute('**/assets/usage-*.js');
  await page.getByRole('button', { name: 'Reload page' }).click();
  await page.getByRole('heading', { level: 1, name: 'Usage' }).waitFor();
  await page.goto('/dashboard/tickets/OPS-1');
});

t.test('the conversation scrolls with a run at its end, and stays in place above it', async (t) => {
  const lines = (from: number) => Array.from({ length: 60 }, (_, at) => `- line ${from + at}`).join('\n');
  gemini.on('go on', [
    { text: `${lines(1)}\n`, calls: [{ name: 'read_file', args: { file_path: 'package.json' } }] },
    { hang: true },
    { text: lines(200) },
  ]);
  await start('OPS-1', { action: 'chat', message: 'go on' });
  await article(page).getByText('line 60', { exact: true }).waitFor();
  await held('go on');
  // A wheel event, since the page ignores a scroll position alone: it also changes when the page becomes shorter.
  await page.evaluate(`dispatchEvent(new WheelEvent('wheel', { deltaY: -400 }));
    scrollTo(0, document.documentElement.scrollHeight - innerHeight - 400);`);
  await page.getByRole('button', { name: 'Jump to latest' }).waitFor();
  const read = article(page).getByText('line 50', { exact: true });
  const before = await read.boundingBox();
  gemini.release();
  await article(page).getByText('Succeeded').waitFor();
  await article(page).getByText('line 259', { exact: true }).waitFor({ state: 'attached' });
  t.strictSame(await read.boundingBox(), before);
  await page.getByRole('button', { name: 'Jump to latest' }).click();
  await page.getByRole('button', { name: 'Jump to latest' }).waitFor({ state: 'hidden' });
  const distance: number = await page.evaluate('document.documentElement.scrollHeight - innerHeight - scrollY');
  t.ok(distance < 5, 'at the end again');
});

t.test('queued runs hold no connection', async (t) => {
  gemini.on('hold the line', [{ hang: true }, { text: 'Over.' }]);
  const streams = new Set<string>();
  page.on('request', (request) => /\/v1\/runs\/[^/]+\/events$/.test(request.url()) && streams.add(request.url()));
  await start('OPS-1', { action: 'chat', message: 'hold the line' });
  await held('hold the line');
  for (let position = 1; position <= 7; position += 1)
    await start('OPS-1', { action: 'chat', message: `after that, ${position}` });
  await article(page).getByText('Position 7 in the queue').waitFor();
  t.equal(streams.size, 2, 'streams of the running run and the next one');
  gemini.release();
  await article(page).getByText('Succeeded').waitFor();
  t.equal(streams.size, 8, 'one stream for each run');
});

t.test('a tab closes its stream when it is hidden, and resumes after the last event', async (t) => {
  const setVisibility = (state: string) =>
    page.evaluate(`Object.defineProperty(document, 'visibilityState', { configurable: true, value: '${state}' });
      document.dispatchEvent(new Event('visibilitychange'));`);
  gemini.on('while away', [
    { text: 'Before. ', calls: [{ name: 'read_file', args: { file_path: 'package.json' } }] },
    { hang: true },
    { text: 'After.' },
  ]);
  const { run_id } = await start('OPS-1', { action: 'chat', message: 'while away' });
  const stream = `/v1/runs/${run_id}/events`;
  await article(page).getByText('Before.').waitFor();
  await held('while away');
  const closed = page.waitForEvent('requestfailed', (request) => request.url().endsWith(stream));
  await setVisibility('hidden');
  await closed;
  const resumed = page.waitForRequest((request) => request.url().endsWith(stream));
  await setVisibility('visible');
  t.ok(Number((await resumed).headers()['last-event-id']) > 0);
  gemini.release();
  await article(page).getByText('After.').waitFor();
  t.equal(await article(page).getByText('Before.').count(), 1);
});

t.test('all tabs share one change feed, and another tab takes over when its tab closes', async (t) => {
  await page.goto('/dashboard/');
  await page.getByRole('link', { name: /Signs of trouble/ }).waitFor();
  const feeds: Page[] = [];
  context.on('request', (request) => {
    if (request.url().endsWith('/v1/events')) feeds.push(request.frame().page());
  });
  const first = await context.newPage();
  await first.goto('/dashboard/');
  const second = await context.newPage();
  await second.goto('/dashboard/');
  for (const tab of [first, second]) await tab.getByRole('link', { name: /Signs of trouble/ }).waitFor();
  t.equal(feeds.length, 0, 'the other tabs open no stream');
  await createTicket('OPS-2', 'Seen by every tab');
  for (const tab of [page, first, second]) await tab.getByRole('link', { name: /Seen by every tab/ }).waitFor();
  const handedOver = context.waitForEvent('request', (request) => request.url().endsWith('/v1/events'));
  await page.goto('/dashboard/assets/none');
  await handedOver;
  await createTicket('OPS-3', 'Seen by the ones that are left');
  for (const tab of [first, second]) await tab.getByRole('link', { name: /the ones that are left/ }).waitFor();
  t.equal(feeds.length, 1);
  await second.close();
  await first.close();
});

t.test('two tabs reload their data after the server restarts', async (t) => {
  await page.goto('/dashboard/');
  await page.getByRole('link', { name: /Signs of trouble/ }).waitFor();
  const second = await context.newPage();
  await second.goto('/dashboard/');
  await second.getByRole('link', { name: /Signs of trouble/ }).waitFor();
  const { port } = new URL(server.url);
  await server.stop('SIGKILL');
  for (const tab of [page, second]) {
    await tab.getByRole('link', { name: /Signs of trouble/ }).click();
    await tab.getByRole('alert').getByText('Cannot reach the server').first().waitFor();
  }
  // The owner is the file: later tests use this server too.
  server = await startServerProcess(owner, world, { ...settings, PORT: port });
  for (const tab of [page, second]) await tab.getByRole('heading', { level: 1, name: 'Signs of trouble' }).waitFor();
  await second.getByRole('alert').first().waitFor({ state: 'detached' });
  t.pass('both tabs are up to date');
  await second.close();
});

t.test('an open page resumes a run after the server restarts', async (t) => {
  gemini.on('a long story', [
    { text: 'Once upon a time. ', calls: [{ name: 'read_file', args: { file_path: 'package.json' } }] },
    { hang: true },
    { text: 'The end.' },
  ]);
  await page.goto('/dashboard/tickets/OPS-2');
  await page.getByLabel('Message').fill('a long story');
  await page.keyboard.press('Control+Enter');
  await article(page).getByText('Once upon a time.').waitFor();
  await held('a long story');
  await page.getByLabel('Message').fill('half a thought');
  const { port } = new URL(server.url);
  await server.stop('SIGKILL');
  await page.getByText('Connection lost, reconnecting…').waitFor();
  t.strictSame(await violations(page), []);
  // The owner is the file: later tests use this server too.
  server = await startServerProcess(owner, world, { ...settings, PORT: port });
  await page.getByText('Connection lost, reconnecting…').waitFor({ state: 'hidden' });
  await article(page).getByText('Succeeded').waitFor();
  await article(page).getByText('The end.').waitFor();
  t.equal(await article(page).getByText('The run was interrupted and has restarted.').count(), 1);
  t.equal(await page.getByLabel('Message').inputValue(), 'half a thought');
  await createTicket('OPS-4', 'Made after the restart');
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'Tickets', exact: true }).first().click();
  await page.getByRole('link', { name: /Made after the restart/ }).waitFor();
});

t.test('the page reports a lost network, and loads its data when the network returns', async (t) => {
  await context.setOffline(true);
  await page.getByRole('link', { name: /Made after the restart/ }).click();
  await page.getByRole('alert').getByText('Cannot reach the server').first().waitFor();
  await context.setOffline(false);
  await page.getByRole('heading', { level: 1, name: 'Made after the restart' }).waitFor();
  t.pass('the page is up to date');
});

t.test('a permission request appears in the conversation and on the page Permissions', async (t) => {
  gemini.on(/Action: make_plan.*OPS-4/s, [{ text: '# Notes\n\n## Goal\n\nNotes.' }]);
  gemini.on(/Action: dev.*OPS-4/s, [
    { calls: [{ name: 'run_shell_command', args: { command: 'echo first > NOTES.md' } }] },
    { calls: [{ name: 'run_shell_command', args: { command: 'rm -rf src' } }] },
    { text: 'Done as you said.' },
  ]);
  await page.getByRole('button', { name: 'Dev', exact: true }).click();
  await page.getByRole('button', { name: 'Start dev' }).click();
  const card = page.getByRole('region', { name: 'Permission request' });
  await card.getByText('echo first > NOTES.md').waitFor();
  t.strictSame(await violations(page), []);
  await card.getByRole('button', { name: 'Allow once' }).click();
  await card.getByText('rm -rf src').waitFor();
  await page.getByRole('link', { name: 'Permissions 1 pending' }).click();
  const question = page.getByRole('region', { name: 'Permission request of OPS-4' });
  await question.getByText('rm -rf src').waitFor();
  t.strictSame(await violations(page), []);
  await question.getByRole('button', { name: 'Reject', exact: true }).click();
  await page.getByRole('heading', { name: 'No pending permissions' }).waitFor();
  await page.goBack();
  await article(page)
    .getByText(/^Rejected by API_KEY: rm -rf src$/)
    .waitFor();
  await article(page).getByText('Succeeded').waitFor();
});

t.test('a run can be canceled, and the next one in the queue starts', async (t) => {
  gemini.on('never end', [{ hang: true }]);
  gemini.on('then this', [{ text: 'This.' }]);
  for (const message of ['never end', 'then this']) {
    await page.getByRole('button', { name: 'Chat', exact: true }).click();
    await page.getByLabel('Message').fill(message);
    await page.getByRole('button', { name: 'Send' }).click();
    await page.locator('.prompt', { hasText: message }).waitFor();
  }
  await article(page).getByText('Next in the queue').waitFor();
  await held('never end');
  t.strictSame(await violations(page), []);
  await page.getByRole('article').filter({ hasText: 'never end' }).getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('article').filter({ hasText: 'never end' }).getByText('Canceled').waitFor();
  await article(page).getByText('Succeeded').waitFor();
});

t.test('revoking a key ends its session, and the draft survives', async (t) => {
  const chatter = await makeKey(server, { scopes: ['chat'] });
  await page.getByRole('button', { name: 'Sign out' }).click();
  await signIn(chatter.key);
  await page.goto('/dashboard/tickets/OPS-1');
  await page.getByLabel('Message').fill('a thought in the making');
  t.equal(
    await page.getByRole('button', { name: 'Dev', exact: true }).count(),
    0,
    'actions without a scope are hidden',
  );
  t.equal(await page.getByRole('link', { name: 'Keys' }).count(), 0);
  t.equal(await page.getByRole('button', { name: /^Delete/ }).count(), 0);
  await call(server, 'DELETE', `/v1/keys/${chatter.key_id}`, undefined, asAdmin);
  await page.getByText('Your session has ended').waitFor();
  t.strictSame(await violations(page), []);
  await signIn(ADMIN_KEY);
  await page.getByRole('heading', { level: 1, name: 'Signs of trouble' }).waitFor();
  t.equal(await page.getByLabel('Message').inputValue(), 'a thought in the making');
});

t.test('a key is created, shown once and revoked, and the audit log records it', async (t) => {
  await page.keyboard.press('Escape');
  await page.locator('main').focus();
  await page.keyboard.press('g');
  await page.keyboard.press('k');
  await page.getByRole('button', { name: 'New key' }).click();
  const form = page.getByRole('dialog', { name: 'New key' });
  await form.getByLabel('Name').fill('build server');
  await form.getByLabel(/^chat/).check();
  await form.getByLabel(/^Repositories/).fill('acme/*');
  t.strictSame(await violations(page), []);
  await form.getByRole('button', { name: 'Create key' }).click();
  const shown = page.getByRole('dialog', { name: 'Key build server' });
  const key = (await shown.locator('code').textContent()) ?? '';
  t.match(key, /^pw_[0-9a-f]{12}_/);
  t.equal((await call(server, 'GET', '/v1/tickets', undefined, { 'x-api-key': key })).status, 200);
  t.strictSame(await violations(page), []);
  await shown.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('button', { name: 'Revoke build server' }).click();
  await page.getByRole('button', { name: 'Revoke key' }).click();
  await page.getByRole('listitem').filter({ hasText: 'build server' }).getByText('Revoked').waitFor();
  t.notOk((await page.content()).includes(key), 'the page no longer contains the key');
  t.equal((await call(server, 'GET', '/v1/tickets', undefined, { 'x-api-key': key })).status, 401);
  t.strictSame(await violations(page), []);
  await page.getByRole('link', { name: 'Audit' }).click();
  await page.getByRole('cell', { name: 'revokeKey' }).first().waitFor();
  await page.setViewportSize({ width: 400, height: 860 });
  await page.reload();
  await page.getByRole('cell', { name: 'revokeKey' }).first().waitFor();
  const box = await page.getByRole('link', { name: 'Audit', exact: true }).boundingBox();
  t.ok(box !== null && box.x > 0 && box.x + box.width < 400, 'the current entry is visible in a narrow window');
  await page.setViewportSize({ width: 1280, height: 860 });
  t.strictSame(await violations(page), []);
});

t.test('the ticket list loses a ticket when it is deleted', async (t) => {
  await page.goto('/dashboard/tickets/OPS-3');
  await page.getByRole('button', { name: 'Delete…' }).click();
  await page.getByRole('button', { name: 'Delete ticket' }).click();
  await page.getByRole('heading', { level: 1, name: 'Tickets' }).waitFor();
  await page.getByRole('link', { name: /the ones that are left/ }).waitFor({ state: 'detached' });
  t.equal((await call(server, 'GET', '/v1/tickets/OPS-3', undefined, asAdmin)).status, 404);
  t.strictSame(faults, []);
});
