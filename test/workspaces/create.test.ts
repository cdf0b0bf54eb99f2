import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { GitProgress } from '../../src/git/progress.ts';
import { noneLeft } from '../helpers/processes.ts';
import { commitEntries, findText, makeWorld, plainGit, repo, TOKEN, type World } from './world.ts';

t.test('create() checks out the branch of a new ticket, and returns an existing one unchanged', async (t) => {
  const { github, workspaces, config, path } = await makeWorld(t);
  await github.addRepository('acme/widgets', { private: true });
  const base = await github.commit('acme/widgets', { files: { 'src/a.txt': 'a\n' } });
  const progress: GitProgress[] = [];
  const created = await workspaces.create(
    { ticketId: 'REL-1', repo: repo('acme/widgets') },
    { onProgress: (step) => progress.push(step) },
  );
  t.strictSame(created, {
    created: true,
    branch: 'ticket_REL-1',
    baseBranch: 'main',
    base,
    head: base,
    notes: [],
  });
  t.ok(progress.some(({ stage, percent }) => stage === 'counting objects' && percent === 100));

  const { workspace, gitDir } = await workspaces.paths('REL-1');
  t.equal(workspace, path('tickets', 'REL-1'));
  t.strictSame((await readdir(workspace)).sort(), ['.git', 'README.md', 'src']);
  t.equal(await readFile(`${workspace}/.git`, 'utf8'), `gitdir: ${gitDir}\n`);
  t.equal(
    plainGit(['status', '--porcelain=v2', '--branch'], { cwd: workspace }).split('\n')[1],
    '# branch.head ticket_REL-1',
  );
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), '', 'git works in the workspace');
  t.equal(plainGit(['rev-parse', 'origin/main'], { cwd: workspace }), base);
  t.strictSame(await workspaces.status('REL-1'), { head: base, base, ahead: 0, dirty: false, unpushed: false });

  const requests = github.requests.length;
  t.match(await workspaces.create({ ticketId: 'REL-1', repo: repo('Acme/Widgets'), baseBranch: 'dev' }), {
    created: false,
    head: base,
    notes: [/keeps its base branch main/],
  });
  t.equal(github.requests.length, requests, 'the second call sends no request');
  await t.rejects(workspaces.create({ ticketId: 'REL-1', repo: repo('acme/other') }), { code: 'ticket_repo_mismatch' });
  await t.rejects(workspaces.create({ ticketId: 'rel-1', repo: repo('acme/widgets') }), { code: 'invalid_request' });
  for (const ticketId of ['..', '../x', '/etc', '.git', 'a.lock', '-x', 'a/b', 'a\0', '', 'x'.repeat(65)]) {
    await t.rejects(workspaces.create({ ticketId, repo: repo('acme/widgets') }), { code: 'invalid_request' }, ticketId);
  }

  t.equal(findText(TOKEN, path('data'), path('tickets')), '', 'no file contains the token');
  await mkdir(`${config.TICKETS_ROOT}/MINE`);
  await writeFile(`${config.TICKETS_ROOT}/MINE/file`, 'of a person');
  await t.rejects(workspaces.create({ ticketId: 'MINE', repo: repo('acme/widgets') }), { code: 'workspace_tampered' });
  t.equal(await readFile(`${config.TICKETS_ROOT}/MINE/file`, 'utf8'), 'of a person');
  await assertNothingStaged(t, path);
});

t.test('create() starts from the default branch when no base branch is given', async (t) => {
  const { github, workspaces, path } = await makeWorld(t);
  const { directory } = await github.addRepository('acme/widgets', { defaultBranch: 'trunk/größe' });
  const feature = await github.commit('acme/widgets', { branch: 'feature/x', files: { 'x.txt': 'x' } });
  plainGit(['--git-dir', directory, 'tag', 'v1.0', feature]);
  const create = (ticketId: string, baseBranch?: string) =>
    workspaces.create({ ticketId, repo: repo('acme/widgets'), baseBranch });

  t.match(await create('A'), { baseBranch: 'trunk/größe' });
  t.match(await create('B', 'feature/x'), { baseBranch: 'feature/x', base: feature });
  await t.rejects(create('C', 'nope'), { code: 'base_branch_not_found', message: /no branch nope/ });
  await t.rejects(create('C', 'v1.0'), { code: 'base_branch_not_found', message: /is a tag/ });
  await t.rejects(create('C', 'a..b'), { code: 'invalid_request' });
  await t.rejects(create('C', 'ticket_C'), { code: 'invalid_request' });
  await t.rejects(create('C', 'ticket_C/x'), { code: 'invalid_request' });

  // A branch is replaced by one below its name. The mirror has fetched both.
  plainGit(['--git-dir', directory, 'branch', '-D', 'feature/x']);
  await github.commit('acme/widgets', { branch: 'feature/x/y', files: { 'y.txt': 'y' } });
  t.match(await create('D', 'feature/x/y'), { baseBranch: 'feature/x/y' });
  await t.rejects(workspaces.sync('B'), { code: 'base_branch_not_found' });

  plainGit(['--git-dir', directory, 'symbolic-ref', 'HEAD', 'refs/heads/gone']);
  await t.rejects(create('E'), { code: 'base_branch_not_found', message: /base_branch is needed/ });
  await github.addRepository('acme/empty', { empty: true });
  await t.rejects(workspaces.create({ ticketId: 'E', repo: repo('acme/empty') }), { code: 'repo_empty' });
  await t.rejects(workspaces.create({ ticketId: 'E', repo: repo('acme/none') }), { code: 'repo_not_found' });
  await t.rejects(workspaces.paths('E'), { code: 'ticket_not_found' });
  await assertNothingStaged(t, path);
});

t.test('create() checks out unusual trees, and notes submodules and Git LFS', async (t) => {
  const { github, workspaces } = await makeWorld(t);
  const { directory } = await github.addRepository('acme/widgets');
  const submodule = await github.commit('acme/widgets', { branch: 'other', files: { x: 'x' } });
  commitEntries(directory, [
    { path: 'größe/日本語 🎉.txt', content: 'ü\n' },
    { path: 'with "quotes" and\ttab', content: 'q\n' },
    { path: 'README', content: 'upper\n' },
    { path: 'Readme', content: 'mixed\n' },
    { path: 'run.sh', mode: '100755', content: '#!/bin/sh\n' },
    { path: 'link', mode: '120000', content: '/etc/passwd' },
    { path: 'vendor/lib', mode: '160000', content: submodule },
    { path: '.gitmodules', content: '[submodule "lib"]\n\tpath = vendor/lib\n\turl = https://evil.example/lib\n' },
    { path: 'assets/.gitattributes', content: '*.bin filter=lfs diff=lfs merge=lfs -text\n' },
    { path: 'assets/a.bin', content: 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' },
    { path: 'wide/.gitattributes', content: '* working-tree-encoding=UTF-16\n' },
    { path: 'wide/text', content: 'plain\n' },
    { path: 'crlf/.gitattributes', content: '* text eol=crlf\n' },
    { path: 'crlf/text', content: 'a\nb\n' },
  ]);
  const { notes } = await workspaces.create({ ticketId: 'ODD-1', repo: repo('acme/widgets') });
  t.match(notes, [/Submodules are not followed.*vendor\/lib/, /Git LFS/]);
  const { workspace } = await workspaces.paths('ODD-1');
  const read = (path: string) => readFile(`${workspace}/${path}`, 'utf8');
  t.equal(await read('größe/日本語 🎉.txt'), 'ü\n');
  t.equal(await read('with "quotes" and\ttab'), 'q\n');
  t.equal(await readlink(`${workspace}/link`), '/etc/passwd');
  t.ok((await stat(`${workspace}/run.sh`)).mode & 0o100);
  t.match(await read('assets/a.bin'), /git-lfs/);
  t.equal(await read('wide/text'), 'plain\n');
  t.equal(await read('crlf/text'), 'a\r\nb\r\n');
  t.strictSame(await readdir(`${workspace}/vendor/lib`), []);
  t.match(await workspaces.status('ODD-1'), { dirty: false });
  t.match(await workspaces.diff('ODD-1'), { files: [], patch: '', truncated: false });
});

t.test('create() continues from the branch of the ticket when the remote has it', async (t) => {
  const { github, workspaces } = await makeWorld(t);
  await github.addRepository('acme/widgets');
  const head = await github.commit('acme/widgets', { branch: 'ticket_T-1', files: { 'work.txt': 'begun' } });
  t.match(await workspaces.create({ ticketId: 'T-1', repo: repo('acme/widgets') }), {
    head,
    baseBranch: 'main',
    notes: [/continues from it/],
  });
  t.match(await workspaces.status('T-1'), { ahead: 1, unpushed: false, dirty: false });
});

t.test('create() shares one mirror and its fetches when many tickets start at once', async (t) => {
  const { github, workspaces, path } = await makeWorld(t);
  await github.addRepository('acme/widgets');
  const head = await github.commit('acme/widgets', {
    files: Object.fromEntries(numbers(50).map((n) => [`${n}`, `${n}`])),
  });
  const tickets = numbers(20).map((n) => `N-${n}`);
  const before = github.requests.length;
  const twice = [...tickets, ...tickets];
  const created = await Promise.all(
    twice.map((ticketId) => workspaces.create({ ticketId, repo: repo('acme/widgets') })),
  );
  t.equal(created.filter((one) => one.created).length, 20);
  t.ok(created.every((one) => one.head === head));
  t.ok(github.requests.length - before <= 12, 'the tickets share fetches');
  for (const ticketId of tickets) {
    const { workspace, gitDir } = await workspaces.paths(ticketId);
    t.equal((await readdir(workspace)).length, 52);
    plainGit(['--git-dir', gitDir, 'fsck', '--connectivity-only']);
  }
  t.equal(findNames('*.lock', path('data')), '');
  t.equal((await readdir(path('data', 'mirrors'))).length, 1);
  await assertNothingStaged(t, path);
});

t.test('create() completes for other callers when one aborts', async (t) => {
  const { github, workspaces, path } = await makeWorld(t);
  await github.addRepository('acme/patience');
  const one = new AbortController();
  const two = new AbortController();
  const hanging = github.hang({ match: /patience/ });
  const first = workspaces.create({ ticketId: 'P-1', repo: repo('acme/patience') }, { signal: one.signal });
  await hanging;
  // These wait for the first, which gets no response, and then share one fetch.
  const second = workspaces.create({ ticketId: 'P-2', repo: repo('acme/patience') }, { signal: two.signal });
  const third = workspaces.create({ ticketId: 'P-3', repo: repo('acme/patience') });
  const sameTicket = workspaces.create({ ticketId: 'P-1', repo: repo('acme/patience') });
  const refused = [t.rejects(first, { code: 'canceled' }), t.rejects(second, { code: 'canceled' })];
  two.abort();
  one.abort();
  await Promise.all(refused);
  t.match(await third, { created: true });
  t.match(await sameTicket, { created: true });
  await noneLeft('acme/patience');
  await assertNothingStaged(t, path);
});

t.test('create(), commit() and diff() work in a workspace of a hundred thousand files', async (t) => {
  // In memory where possible: some file systems are slow for minutes after so many deletions.
  const { github, workspaces } = await makeWorld(t, { parent: existsSync('/dev/shm') ? '/dev/shm' : tmpdir() });
  const { directory } = await github.addRepository('acme/large', { empty: true });
  const files = numbers(100_000).map((n) => `M 100644 :1 ${n % 100}/${n % 1000}/${n}\n`);
  const commit = 'commit refs/heads/main\ncommitter S <s@x> 1767600000 +0000\ndata 1\nx\n';
  plainGit(['--git-dir', directory, 'fast-import', '--quiet'], {
    input: `blob\nmark :1\ndata 0\n\n${commit}${files.join('')}\n`,
  });
  const progress: GitProgress[] = [];
  await workspaces.create({ ticketId: 'BIG', repo: repo('acme/large') }, { onProgress: (step) => progress.push(step) });
  t.ok(progress.length < 200, 'progress is reported in steps');
  const { workspace } = await workspaces.paths('BIG');
  t.equal((await readdir(workspace)).length, 101);
  await writeFile(`${workspace}/0/0/0`, 'changed\n');
  const { commit: made } = await workspaces.commit('BIG', { subject: 'Change one' });
  t.equal(made?.filesChanged, 1);
  t.match(await workspaces.diff('BIG'), { files: [{ path: '0/0/0', additions: 1, deletions: 0 }] });
  await workspaces.remove('BIG', repo('acme/widgets').url);
  await t.rejects(workspaces.paths('BIG'), { code: 'ticket_not_found' });
});

t.test('a mirror keeps the objects of a ticket after a forced push and a garbage collection', async (t) => {
  const { github, workspaces, path } = await makeWorld(t);
  const { directory } = await github.addRepository('acme/widgets');
  const head = await github.commit('acme/widgets', { files: { 'a.txt': 'first\n' } });
  await workspaces.create({ ticketId: 'K-1', repo: repo('acme/widgets') });
  plainGit(['--git-dir', directory, 'update-ref', 'refs/heads/main', `${head}~1`]);
  await github.commit('acme/widgets', { files: { 'b.txt': 'rewritten\n' } });
  await workspaces.create({ ticketId: 'K-2', repo: repo('acme/widgets') });
  const { mirror, gitDir } = await workspaces.paths('K-1');
  const collect = () => plainGit(['--git-dir', mirror, 'gc', '--quiet', '--prune=now']);
  collect();
  plainGit(['--git-dir', gitDir, 'fsck', '--connectivity-only']);
  t.match(await workspaces.status('K-1'), { head, dirty: false });

  // A folder without write permission, as in package caches.
  await mkdir(path('tickets', 'K-1', 'cache', 'deep'), { recursive: true });
  await chmod(path('tickets', 'K-1', 'cache'), 0o500);
  await workspaces.remove('K-1', repo('acme/widgets').url);
  await workspaces.remove('K-1', repo('acme/widgets').url);
  await workspaces.maintenance.trashEmptied();
  await workspaces.close();
  t.strictSame(await readdir(path('tickets', '.trash')), []);
  collect();
  t.throws(() => plainGit(['--git-dir', mirror, 'cat-file', '-e', head]), 'the object is deleted with the ticket');
  t.match(await workspaces.status('K-2'), { dirty: false });
});

t.test('create() fails with disk_full when the disk is full', { skip: cannotLimitDisk() }, async (t) => {
  const { dir, github, parentEnv } = await makeWorld(t);
  await github.addRepository('acme/widgets');
  await github.commit('acme/widgets', {
    files: { 'big.txt': 'incompressible? no, but large once checked out\n'.repeat(1e5) },
  });
  const limited = ['--size', String(2 ** 21), '--tmpfs', `${dir}/tickets`];
  const worker = fileURLToPath(new URL('worker.ts', import.meta.url));
  const child = spawn(
    'bwrap',
    ['--dev-bind', '/', '/', ...limited, process.execPath, worker, dir, 'create', 'acme/widgets', 'FULL', '0'],
    {
      env: { ...parentEnv },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  t.match(JSON.parse(output), { code: 'disk_full' });
});

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function findNames(pattern: string, folder: string): string {
  return execFileSync('find', [folder, '-name', pattern], { encoding: 'utf8' });
}

async function assertNothingStaged(t: Test, path: World['path']): Promise<void> {
  t.strictSame(await readdir(path('data', 'staging')), []);
  t.strictSame(await readdir(path('tickets', '.staging')), []);
}

function cannotLimitDisk(): string | false {
  try {
    execFileSync('bwrap', ['--dev-bind', '/', '/', '--size', '4096', '--tmpfs', '/tmp', 'true'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'bubblewrap does not run here';
  }
}
