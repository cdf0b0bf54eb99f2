import t from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO } from '../helpers/server.ts';
import { SERVER_USERS, startServerAs } from '../helpers/users.ts';
import { effectsIn, inBatches, messageOf, publishWords } from './word-arena.ts';
import { LINE_ATTACKS, WORD_ATTACKS } from './word-attacks.ts';
import { effectsOf, trailersOf } from './word-effects.ts';

/**
 * Runs every attack of the tables end to end, in each field of a commit and a pull request.
 * `node test/attacks/prove-word-attacks.ts` shows that the attacks succeed without the defence.
 */
const NOTHING = { commitText: [], title: [], body: [] };

t.jobs = SERVER_USERS.length;
for (const user of SERVER_USERS) {
  t.test(
    `a server of the user ${user.name} publishes text without side effects`,
    { skip: user.skip, buffered: true },
    async (t) => {
      const world = await makeWorld(t);
      const server = await startServerAs(t, world, user);

      for (const [index, attacks] of inBatches([...WORD_ATTACKS, ...LINE_ATTACKS]).entries()) {
        const names = attacks.map(({ name }) => name).join(', ');
        t.test(`a commit and a pull request have no effect when their text has ${names}`, async (t) => {
          const ticketId = `W-${index}`;
          const published = await publishWords({ server, world, ticketId }, attacks, index % 2 === 0);
          t.strictSame(effectsIn(published), NOTHING, JSON.stringify(published));
          t.match(published.title, new RegExp(`^${ticketId}: .`), 'the title keeps the text');
          const trailers = trailersOf(published.message);
          t.match(trailers, [`Ticket: ${ticketId}`, 'Plan-Version: 1', /^Run-Id: [0-9a-f-]{36}$/]);
          t.equal(trailers.length, 3, 'only the server adds trailers');
          t.strictSame(trailersOf(published.body), [], 'the pull request has no trailers');
        });
      }

      t.test('a merge commit has no effect when the name of the base branch is hostile', async (t) => {
        const branch = 'fix/#12-@octocat&num;13;GH-7';
        await world.github.commit('acme/duration', { branch, files: { 'one.txt': 'one\n' } });
        await call(server, 'POST', '/v1/tickets', { ticket_id: 'W-BASE', repo_url: REPO, base_branch: branch });
        const write = (path: string) => ({
          calls: [{ name: 'write_file', args: { file_path: path, content: 'x\n' } }],
        });
        world.gemini.on(/Action: make_plan.*W-BASE/s, [{ text: '# Goal\n\nWork.' }]);
        world.gemini.on(/Action: dev.*W-BASE/s, [write('two.txt'), { text: 'Done.' }]);
        t.match((await run(server, 'W-BASE', { action: 'dev' })).run, { state: 'succeeded' });
        await world.github.commit('acme/duration', { branch, files: { 'three.txt': 'three\n' } });
        world.gemini.on('once more', [write('four.txt'), { text: 'Done.' }]);
        t.match((await run(server, 'W-BASE', { action: 'dev', message: 'once more' })).run, { state: 'succeeded' });
        const merge = messageOf(world, 'ticket_W-BASE~1');
        t.match(merge, /^Merge branch 'fix·\/#·12-@·octocat&·num;13;GH-·7' into ticket_W-BASE$/);
        t.strictSame([...effectsOf(merge)], []);
      });
    },
  );
}
