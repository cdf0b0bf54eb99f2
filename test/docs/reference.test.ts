import t from 'tap';
import { browse } from '../helpers/browser.ts';
import { makeWorld, startServer } from '../helpers/server.ts';

t.test('/docs shows routes with examples and loads nothing from other servers', async (t) => {
  const server = await startServer(t, await makeWorld(t));
  const { page, faults } = await browse(t, server.url);
  await page.goto('/docs/');
  const operation = page.locator('[id$=createTicket]');
  await operation.locator('button').first().click();
  await operation.getByText('"Round half up"').first().waitFor();
  const command = page.locator('[id$=sendCommand]');
  await command.locator('button').first().click();
  await command.getByText('data: __END__').first().waitFor();
  t.same(
    // The policy blocks an inline style of the page, without a visible effect.
    faults.filter((fault) => !fault.startsWith('Applying inline style')),
    [],
  );
});
