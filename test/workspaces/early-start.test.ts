import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { exists } from '../../src/files/entries.ts';
import { makeWorld, plainGit, repo } from './world.ts';

const HISTORY = 12;

t.test('create() does not wait for a long history, and sync() merges only with the full history', async (t) => {
  const { github, workspaces, path } = await makeWorld(t, { FETCH_TTL_SECONDS: 300 });
  await github.addRepository('acme/old');
  let newest = '';
  for (let n = 1; n <= HISTORY; n++) newest = await github.commit('acme/old', { files: { 'f.txt': `${n}\n` } });
  const count = (ticketId: string) =>
    Number(plainGit(['rev-list', '--count', 'HEAD'], { cwd: path('tickets', ticketId) }));

  // The remote answers with the list of branches, but sends no history.
  const historyRequested = github.hang({ match: /POST .*git-upload-pack/, skip: 1 });
  const creating = workspaces.create({ ticketId: 'E-1', repo: repo('acme/old') });
  await historyRequested;
  t.match(await creating, { created: true, head: newest });
  t.equal(await readFile(path('tickets', 'E-1', 'f.txt'), 'utf8'), `${HISTORY}\n`);
  t.equal(count('E-1'), 1, 'the ticket has no history yet');
  t.match(await workspaces.status('E-1'), { dirty: false, unpushed: false, head: newest, base: newest });
  t.match(await workspaces.diff('E-1'), { files: [] });
  // A second ticket, without a request.
  await workspaces.create({ ticketId: 'E-2', repo: repo('acme/old') });

  const news = await github.commit('acme/old', { files: { 'g.txt': 'new\n' } });
  t.match(await workspaces.sync('E-1', { fresh: true }), { updated: true, head: news });
  const { mirror, gitDir } = await workspaces.paths('E-1');
  t.notOk(await exists(join(mirror, 'shallow')), 'the mirror has the full history');
  t.notOk(await exists(join(gitDir, 'shallow')));
  t.ok(count('E-1') > HISTORY, 'the ticket has it too');
  plainGit(['fsck', '--connectivity-only'], { cwd: path('tickets', 'E-1') });

  t.match(await workspaces.sync('E-2', { staleOk: true }), { updated: true, head: news });
  t.ok(count('E-2') > HISTORY, 'the other ticket has it too');
  const third = await workspaces.create({ ticketId: 'E-3', repo: repo('acme/old') });
  t.match(third, { head: news });
  t.ok(count('E-3') > HISTORY);
});

t.test('commit(), sync() and push() work when the ticket started without its history', async (t) => {
  const { github, workspaces, path } = await makeWorld(t, { FETCH_TTL_SECONDS: 300 });
  await github.addRepository('acme/old');
  for (let n = 1; n <= HISTORY; n++) await github.commit('acme/old', { files: { 'f.txt': `${n}\n` } });
  const historyRequested = github.hang({ match: /POST .*git-upload-pack/, skip: 1 });
  const creating = workspaces.create({ ticketId: 'P-1', repo: repo('acme/old') });
  await historyRequested;
  await creating;
  plainGit(['config', 'user.name', 'x'], { cwd: path('tickets', 'P-1') });
  const { workspace } = await workspaces.paths('P-1');
  plainGit(['rm', '--quiet', 'f.txt'], { cwd: workspace });
  // Without a sync before it, as after a restore.
  t.ok((await workspaces.commit('P-1', { subject: 'Remove it' })).commit);
  const news = await github.commit('acme/old', { files: { 'g.txt': 'new\n' } });
  t.match(await workspaces.sync('P-1', { fresh: true }), { updated: true, base: news });
  const { sha } = await workspaces.push('P-1');
  t.match(await workspaces.status('P-1'), { dirty: false, unpushed: false, head: sha });
  plainGit(['fsck', '--connectivity-only'], { cwd: workspace });
});
