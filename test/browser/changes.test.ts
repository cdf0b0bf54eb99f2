import t from 'tap';
import { browse } from '../helpers/browser.ts';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const server = await startServer(t, world);
const { page, faults } = await browse(t, server.url);

t.test('the changes keep each file’s lines when a file becomes a link', async (t) => {
  world.gemini.on(/Action: make_plan/, [{ text: '# Links\n\n## Goal\n\nLinks.' }]);
  const command =
    'echo one >> LICENSE; rm README.md; ln -s LICENSE README.md; echo two >> src/iso.ts; git mv src/parse.ts a';
  world.gemini.on(/Action: dev/, [{ calls: [{ name: 'run_shell_command', args: { command } }] }, { text: 'Done.' }]);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'LINK-1', repo_url: REPO });
  const { run: made } = await run(server, 'LINK-1', { action: 'dev' });
  t.equal(made.state, 'succeeded', JSON.stringify(made.error));

  await page.goto('/dashboard/tickets/LINK-1/changes');
  const file = (path: string) =>
    page.locator('details.file', { has: page.locator('summary').getByText(path, { exact: true }) });
  const lines = (path: string, kind: string) =>
    file(path).locator(`.diff .${kind} > span:last-child`).allTextContents();
  await file('README.md').getByText('type changed').waitFor();
  t.strictSame(await lines('LICENSE', 'add'), ['one']);
  t.strictSame(await lines('README.md', 'add'), ['LICENSE'], 'the target of the link');
  t.ok((await lines('README.md', 'del')).includes('# duration'), 'the content of the former file, in the same entry');
  t.strictSame(await lines('src/iso.ts', 'add'), ['two']);
  t.strictSame(faults, []);
});
