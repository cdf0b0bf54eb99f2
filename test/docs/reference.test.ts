import t from 'tap';
import { browse } from '../helpers/browser.ts';
import { makeWorld, startServer } from '../helpers/server.ts';

t.test('/docs shows the routes with their examples, and asks no other server for anything', async (t) => {
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
    // The page hides its icons by a style that its policy refuses, which is not to be seen.
    faults.filter((fault) => !fault.startsWith('Applying inline style')),
    [],
  );
});
