import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { printable } from '../../src/cli/printable.ts';
import { sampleScripts } from '../../standins/sample-ticket.ts';
import { pullwright } from '../helpers/command.ts';
import { processesIn } from '../helpers/processes.ts';
import { makeWorld, REPO } from '../helpers/server.ts';

t.test('a command starts a server when none answers and settings exist', async (t) => {
  const world = await makeWorld(t);
  world.gemini.script(sampleScripts);
  // No server answers on port 1.
  const env = { PATH: process.env.PATH, PORT: '1' };
  t.match(await pullwright(t, { dir: t.testdir({}) }, ['runs'], { env }), { code: 1, stderr: /pullwright init/ });

  const { PORT: _, ...settings } = world.env;
  const lines = Object.entries({ ...settings, PORT: '1' }).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(world.dir, '.env'), lines.join(''));
  const command = (...args: string[]) => pullwright(t, world, args, { env: settings });
  t.match(await command('ticket', 'create', 'REL-123', REPO), { code: 0, stdout: 'REL-123\n', stderr: /starting one/ });
  t.match(await command('chat', 'REL-123', 'Where?'), { code: 0, stdout: /It comes from `format`/ });
  t.match(await command('runs'), { code: 0, stdout: /\tREL-123\tchat\tsucceeded\t/ }, 'the run is stored');
  t.same(processesIn(world.dir), [], 'no process remains');
});

t.test('`printable` makes terminal control sequences visible', async (t) => {
  t.equal(printable('a\u001b]52;c;aGk=\u0007b\rc'), 'a␛]52;c;aGk=␇b␍c');
  t.equal(printable('\u009b2Jx\u202ey'), '\ufffd2Jx\ufffdy');
  t.equal(printable('a\tb\r\nc\n'), 'a\tb\nc\n');
});
