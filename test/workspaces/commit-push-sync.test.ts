import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  appendFile,
  chmod,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import t, { type Test } from 'tap';
import { processesIn } from '../helpers/processes.ts';
import { commitEntries, findText, makeWorld, plainGit, repo, TOKEN } from './world.ts';

/** Creates the ticket W-1 on a repository with a few files. */
async function makeTicket(t: Test) {
  const world = await makeWorld(t);
  const { directory } = await world.github.addRepository('acme/widgets', { private: true });
  commitEntries(directory, [
    { path: 'a.txt', content: 'one\ntwo\nthree\nfour\nfive\n' },
    { path: 'b.txt', content: 'b\n' },
    { path: 'docs/c.txt', content: 'c\n' },
    { path: '.gitignore', content: '*.log\n' },
  ]);
  await world.workspaces.create({ ticketId: 'W-1', repo: repo('acme/widgets') });
  const { workspace, gitDir } = await world.workspaces.paths('W-1');
  return {
    ...world,
    directory,
    workspace,
    gitDir,
    write: (path: string, content: string) => writeFile(`${workspace}/${path}`, content),
    read: (path: string) => readFile(`${workspace}/${path}`, 'utf8'),
    treeOf: (commit: string) =>
      plainGit(['--git-dir', gitDir, '-c', 'core.quotePath=false', 'ls-tree', '-r', '--name-only', commit]).split('\n'),
  };
}

t.test('commit(), push() and diff() handle all kinds of changes', async (t) => {
  const { workspaces, github, directory, workspace, write, gitDir, path, treeOf } = await makeTicket(t);
  const { head: base } = await workspaces.status('W-1');
  t.strictSame(await workspaces.commit('W-1', { subject: 'Nothing' }), { commit: undefined, heldBack: [], notes: [] });

  await write('a.txt', 'one\n2\nthree\nfour\nfive\n');
  await rename(`${workspace}/b.txt`, `${workspace}/größe b.txt`);
  await rm(`${workspace}/docs`, { recursive: true });
  await write('docs', 'a file where a folder was\n');
  await write('picture.bin', '\0\x01\x02');
  await write('noise.log', 'ignored\n');
  await writeFile(Buffer.concat([Buffer.from(`${workspace}/latin-`), Buffer.of(0xe9)]), 'not utf-8\n');
  await symlink('/etc/passwd', `${workspace}/link`);
  t.match(await workspaces.status('W-1'), { dirty: true, unpushed: false, ahead: 0 });

  const diff = await workspaces.diff('W-1');
  t.strictSame(
    diff.files.map(({ path, status, old_path, binary }) => [path, status, old_path, binary]),
    [
      ['a.txt', 'modified', undefined, false],
      ['docs', 'added', undefined, false],
      ['docs/c.txt', 'deleted', undefined, false],
      ['größe b.txt', 'renamed', 'b.txt', false],
      ['latin-\ufffd', 'added', undefined, false],
      ['link', 'added', undefined, false],
      ['picture.bin', 'added', undefined, true],
    ],
  );
  t.match(diff.files[0], { additions: 1, deletions: 1 });
  t.match(diff, { base, head: base, truncated: false, patch: /^-two\n\+2$/m });
  t.match(diff.patch, /^rename to größe b\.txt$/m);
  t.notMatch(diff.patch, /root:/, 'the patch does not follow a link');
  t.equal(objectCount(gitDir), 0, 'diff() and status() write no object');

  const { commit, notes } = await workspaces.commit('W-1', {
    subject: 'Change\nthings\u0000\u001b[31m',
    body: 'Why:\r\n\tthis\n',
    trailers: [
      ['Plan-Version', '3'],
      ['Run-Id', 'x\nSigned-off-by: Nobody'],
    ],
  });
  t.match(commit, { subject: 'Change things[31m', filesChanged: 7 });
  t.strictSame(notes, []);
  const sha = commit?.sha ?? '';
  t.equal(
    plainGit(['--git-dir', gitDir, 'log', '-1', '--format=%an <%ae>|%cn <%ce>|%P|%B', sha]),
    `Pull Wright <pull@wright.example>|Pull Wright <pull@wright.example>|${base}|` +
      'Change things[31m\n\n> Why:\n> \tthis\n\nPlan-Version: 3\nRun-Id: x Signed-off-by: Nobody',
  );
  t.notOk(treeOf(sha).some((path) => path === '.git' || path.endsWith('.log')));
  t.match(await workspaces.status('W-1'), { head: sha, dirty: false, unpushed: true, ahead: 1 });
  t.strictSame((await workspaces.diff('W-1')).files, diff.files, 'the commit does not change the diff');
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), '');

  const hanging = github.hang({ match: /POST .*receive-pack/ });
  const controller = new AbortController();
  const stopped = t.rejects(workspaces.push('W-1', { signal: controller.signal }), { code: 'canceled' });
  await hanging;
  t.ok(processesIn('acme/widgets').length > 0);
  t.strictSame(processesIn(TOKEN), [], 'no command line holds the token');
  controller.abort();
  await stopped;

  t.strictSame(await workspaces.push('W-1'), { ref: 'refs/heads/ticket_W-1', sha });
  t.strictSame(await workspaces.push('W-1'), { ref: 'refs/heads/ticket_W-1', sha }, 'a repeated push succeeds');
  t.equal(plainGit(['--git-dir', directory, 'rev-parse', 'ticket_W-1']), sha);
  t.equal(findText(TOKEN, path('data'), path('tickets')), '', 'no file holds the token');
  t.match(await workspaces.status('W-1'), { unpushed: false, ahead: 1 });
  const listed = { sha, subject: 'Change things[31m', runId: 'x Signed-off-by: Nobody' };
  t.strictSame(await workspaces.commits('W-1'), [listed], 'a trailer is one value');
  t.strictSame(await workspaces.commits('W-1', sha), []);
});

t.test('push() fails with the reason when the remote refuses', async (t) => {
  const { workspaces, github, directory, write } = await makeTicket(t);
  await write('a.txt', 'mine\n');
  await workspaces.commit('W-1', { subject: 'Mine' });
  await github.commit('acme/widgets', { branch: 'ticket_W-1', files: { 'theirs.txt': 'theirs\n' } });
  await t.rejects(workspaces.push('W-1'), { code: 'push_rejected', message: /acme\/widgets refused.*fetch first/ });

  t.match(await workspaces.sync('W-1'), { updated: true });
  plainGit(['--git-dir', directory, 'config', '--add', 'standin.protected', 'refs/heads/ticket_W-1']);
  await t.rejects(workspaces.push('W-1'), { code: 'push_rejected', message: /declined\).*GH006: Protected branch/ });
  plainGit(['--git-dir', directory, 'config', '--unset-all', 'standin.protected']);
  github.addToken(TOKEN, { login: 'pullwright-bot', push: false });
  await t.rejects(workspaces.push('W-1'), { code: 'github_forbidden', message: /Permission to acme\/widgets/ });
  github.addToken(TOKEN, { login: 'pullwright-bot', push: true });
  await t.resolves(workspaces.push('W-1'));
});

t.test('push() pushes only the branch of the ticket, and fails when it is the default branch', async (t) => {
  const { workspaces, github, directory, gitDir, write } = await makeTicket(t);
  const refs = () => plainGit(['--git-dir', directory, 'for-each-ref', '--format=%(refname) %(objectname)']);
  const before = refs();
  // Other refs in the git directory are not pushed, even when its configuration demands it.
  plainGit(['--git-dir', gitDir, 'branch', 'other', 'HEAD~0']);
  plainGit(['--git-dir', gitDir, 'tag', 'v1', 'HEAD']);
  for (const setting of ['remote.origin.mirror', 'push.followTags', 'remote.pushDefault']) {
    plainGit(['--git-dir', gitDir, 'config', setting, 'true']);
  }
  await write('a.txt', 'mine\n');
  const { commit } = await workspaces.commit('W-1', { subject: 'Mine' });
  plainGit(['--git-dir', directory, 'symbolic-ref', 'HEAD', 'refs/heads/ticket_W-1']);
  await github.commit('acme/widgets', { branch: 'ticket_W-1', files: {} });
  const grown = refs();
  const refused = { code: 'push_rejected', message: /ticket_W-1 is the default branch/, remedy: /another ticket id/ };
  await t.rejects(workspaces.push('W-1'), refused);
  t.equal(refs(), grown);
  plainGit(['--git-dir', directory, 'symbolic-ref', 'HEAD', 'refs/heads/main']);
  plainGit(['--git-dir', directory, 'update-ref', '-d', 'refs/heads/ticket_W-1']);
  await workspaces.push('W-1');
  t.equal(refs(), `${before}\nrefs/heads/ticket_W-1 ${commit?.sha}`);

  await github.commit('acme/widgets', { branch: 'ticket_W-2', files: {} });
  plainGit(['--git-dir', directory, 'symbolic-ref', 'HEAD', 'refs/heads/ticket_W-2']);
  const create = (baseBranch?: string) =>
    workspaces.create({ ticketId: 'W-2', repo: repo('acme/widgets'), baseBranch });
  await t.rejects(create(), { code: 'invalid_request', message: /cannot be the base/ });
  await t.rejects(create('main'), { code: 'push_rejected' });
});

t.test('sync() merges the base branch and keeps uncommitted changes', async (t) => {
  const { workspaces, github, directory, workspace, write, read } = await makeTicket(t);
  const untouched = await workspaces.sync('W-1');
  t.match(untouched, { updated: false, notes: [] });

  const base = await github.commit('acme/widgets', { files: { 'new.txt': 'from main\n' } });
  t.match(
    await workspaces.sync('W-1'),
    { updated: true, head: base, base },
    'a ticket without commits is fast-forwarded',
  );
  t.equal(await read('new.txt'), 'from main\n');

  await write('a.txt', 'one\ntwo\nthree\nfour\n5\n');
  const { commit: mine } = await workspaces.commit('W-1', { subject: 'Mine' });
  await write('b.txt', 'not committed\n');
  await write('untracked.txt', 'not committed\n');
  const upstream = [
    { path: 'a.txt', content: '1\ntwo\nthree\nfour\nfive\n' },
    { path: 'docs/d.txt', content: 'd\n' },
  ];
  const secondBase = commitEntries(directory, upstream);
  const merged = await workspaces.sync('W-1');
  t.match(merged, { updated: true, base: secondBase, notes: [] });
  t.equal(await read('a.txt'), '1\ntwo\nthree\nfour\n5\n');
  t.equal(await read('docs/d.txt'), 'd\n');
  t.equal(await read('b.txt'), 'not committed\n');
  t.equal(await read('untracked.txt'), 'not committed\n');
  t.equal(
    plainGit(['log', '-1', '--format=%s|%P'], { cwd: workspace }),
    `Merge branch 'main' into ticket_W-1|${mine?.sha} ${secondBase}`,
  );
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), ' M b.txt\n?? untracked.txt');
  t.match(await workspaces.status('W-1'), { ahead: 1, dirty: true });
  t.strictSame(
    (await workspaces.commits('W-1')).map(({ subject }) => subject),
    ['Mine'],
  );

  for (const [path, content] of [
    ['b.txt', 'changed upstream\n'],
    ['untracked.txt', 'now upstream too\n'],
  ] as const) {
    const before = await workspaces.status('W-1');
    commitEntries(directory, [{ path, content }]);
    const kept = await workspaces.sync('W-1');
    t.match(kept, { updated: false, head: before.head, notes: [new RegExp(`${path} has uncommitted changes`)] });
    t.equal(await read(path), 'not committed\n');
    plainGit(['--git-dir', directory, 'update-ref', 'refs/heads/main', secondBase]);
  }

  await workspaces.commit('W-1', { subject: 'Other changes' });
  commitEntries(directory, [
    { path: 'b.txt', content: 'changed upstream\n' },
    { path: 'a.txt', content: '1\ntwo\nthree\nfour\nV\n' },
  ]);
  const before = await workspaces.status('W-1');
  await t.rejects(workspaces.sync('W-1'), {
    code: 'merge_conflict',
    message: /main and ticket_W-1 both changed a\.txt, b\.txt/,
  });
  t.match(await workspaces.status('W-1'), { head: before.head, dirty: false });
  t.equal(plainGit(['status', '--porcelain'], { cwd: workspace }), '');

  plainGit(['--git-dir', directory, 'update-ref', '-d', 'refs/heads/main']);
  commitEntries(directory, [{ path: 'fresh.txt', content: 'another history\n' }]);
  await t.rejects(workspaces.sync('W-1'), { code: 'merge_conflict', message: /no history in common/ });
});

t.test('sync() merges commits that others push to the branch of the ticket', async (t) => {
  const { workspaces, github, write, read } = await makeTicket(t);
  await write('a.txt', 'mine\n');
  await workspaces.commit('W-1', { subject: 'Mine' });
  await workspaces.push('W-1');
  const theirs = await github.commit('acme/widgets', { branch: 'ticket_W-1', files: { 'review.txt': 'a fix\n' } });
  t.match(await workspaces.sync('W-1'), { updated: true, head: theirs }, 'fast-forward');
  t.equal(await read('review.txt'), 'a fix\n');

  await github.commit('acme/widgets', { branch: 'ticket_W-1', files: { 'review.txt': 'another\n' } });
  await write('b.txt', 'mine too\n');
  await workspaces.commit('W-1', { subject: 'Mine too' });
  t.match(await workspaces.sync('W-1'), { updated: true }, 'merge');
  t.equal(await read('review.txt'), 'another\n');
  t.equal(await read('b.txt'), 'mine too\n');
  await t.resolves(workspaces.push('W-1'));
  t.match(await workspaces.status('W-1'), { unpushed: false });
});

t.test('the server runs nothing of a hostile workspace, and publishes nothing from outside of it', async (t) => {
  const { workspaces, workspace, gitDir, write, path, treeOf } = await makeTicket(t);
  const canary = path('canary');
  const script = path('evil.sh');
  await writeFile(script, `#!/bin/sh\ntouch ${canary}\ncat\n`);
  await chmod(script, 0o755);
  const evil = `[core]\n\tfsmonitor = ${script}\n\thooksPath = ${path('hooks')}\n[filter "x"]\n\tclean = ${script}\n\tsmudge = ${script}\n\trequired = true\n[diff "x"]\n\ttextconv = ${script}\n\tcommand = ${script}\n[merge "x"]\n\tdriver = ${script}\n`;
  await mkdir(path('hooks'));
  for (const hook of ['pre-commit', 'reference-transaction', 'post-index-change', 'pre-push', 'post-checkout']) {
    await symlink(script, path('hooks', hook));
  }

  // Repositories in a new folder, in a tracked one, in another repository, and in place of the `.git` file.
  for (const folder of ['nested', 'docs', 'nested/inner']) {
    await mkdir(`${workspace}/${folder}`, { recursive: true });
    plainGit(['init', '--quiet', `${workspace}/${folder}`]);
    await appendFile(`${workspace}/${folder}/.git/config`, evil);
    await write(`${folder}/made.txt`, 'made\n');
  }
  plainGit(['-c', 'core.fsmonitor=', 'add', 'made.txt'], { cwd: `${workspace}/nested/inner` });
  await unlink(`${workspace}/.git`);
  plainGit(['init', '--quiet', workspace]);
  await appendFile(`${workspace}/.git/config`, `${evil}\tworktree = /etc\n`);
  await write('.gitattributes', '* filter=x diff=x merge=x working-tree-encoding=UTF-32\n');
  await mkdir(`${workspace}/.GIT`);
  await write('.GIT/config', 'x');
  // An agent cannot write there, but a person can.
  await cp(path('hooks'), `${gitDir}/hooks`, { recursive: true });
  await rm(canary, { force: true });

  await workspaces.status('W-1');
  await workspaces.diff('W-1');
  const { commit, notes } = await workspaces.commit('W-1', { subject: 'Hostile' });
  await workspaces.push('W-1');
  t.notOk(existsSync(canary));
  const paths = treeOf(commit?.sha ?? '');
  t.ok(paths.includes('nested/made.txt') && paths.includes('nested/inner/made.txt') && paths.includes('docs/made.txt'));
  t.notOk(paths.some((name) => /(^|\/)\.git(\/|$)/i.test(name)));
  t.match(notes, [
    /\.git of the workspace had been replaced/,
    /nested was a git repository/,
    /nested\/inner was/,
    /^Left out,.*: \.GIT\/config\.$/,
  ]);
  t.equal(await readFile(`${workspace}/.git`, 'utf8'), `gitdir: ${gitDir}\n`);
  t.equal((await readdir(path('tickets', '.quarantine', 'W-1'))).length, 3);
  t.match(await workspaces.status('W-1'), { dirty: false });

  await mkdir(path('elsewhere'));
  await writeFile(path('elsewhere', 'secret.txt'), 'secret');
  await rename(workspace, `${workspace}.moved`);
  await symlink(path('elsewhere'), workspace);
  const tampered = { code: 'workspace_tampered' };
  await t.rejects(workspaces.commit('W-1', { subject: 'x' }), tampered);
  await t.rejects(workspaces.sync('W-1'), tampered);
  await t.rejects(workspaces.status('W-1'), tampered);
  await t.rejects(workspaces.diff('W-1'), tampered);
  await workspaces.remove('W-1', repo('acme/widgets').url);
  await workspaces.close();
  t.equal(await readFile(path('elsewhere', 'secret.txt'), 'utf8'), 'secret', 'removing a link keeps its target');
  t.strictSame(await readdir(path('tickets', '.quarantine')), []);
});

t.test('commit() refuses large files, and leaves out pipes and submodules', async (t) => {
  const { workspaces, directory, workspace, write } = await makeTicket(t);
  await write('sparse.img', '');
  await truncate(`${workspace}/sparse.img`, 2 ** 34);
  await write('fine.txt', 'fine\n');
  const status = await workspaces.status('W-1');
  t.match(status, { dirty: true });
  t.match(await workspaces.diff('W-1'), { files: [{ path: 'fine.txt' }] });
  await t.rejects(workspaces.commit('W-1', { subject: 'x' }), {
    code: 'file_too_large',
    message: /sparse\.img \(16384 MiB\)/,
  });
  t.match(await workspaces.status('W-1'), { head: status.head });
  await rm(`${workspace}/sparse.img`);

  execFileSync('mkfifo', [`${workspace}/pipe`]);
  t.match(await workspaces.commit('W-1', { subject: 'Fine' }), { commit: { filesChanged: 1 } });

  commitEntries(directory, [{ path: 'sub', mode: '160000', content: status.head }]);
  await workspaces.sync('W-1');
  await write('sub/made-inside.txt', 'not followed\n');
  t.match(await workspaces.commit('W-1', { subject: 'Inside a submodule' }), { commit: undefined });
  await rm(`${workspace}/sub`, { recursive: true });
  await write('sub', 'a file now\n');
  await write('b.txt', 'and a change\n');
  const replaced = await workspaces.commit('W-1', { subject: 'Instead of a submodule' });
  t.match(replaced, { commit: { filesChanged: 1 }, notes: [/sub is a submodule/] });

  plainGit(['checkout', '--quiet', '-b', 'mine'], { cwd: workspace });
  await t.rejects(workspaces.commit('W-1', { subject: 'x' }), {
    code: 'workspace_tampered',
    message: /not on the branch/,
  });
});

t.test('diff() cuts a long patch, but not the list of files', async (t) => {
  const { workspaces, write } = await makeTicket(t);
  await write('long.txt', 'a line of some length, repeated very often\n'.repeat(200_000));
  const { patch, truncated, files } = await workspaces.diff('W-1');
  t.ok(truncated);
  t.ok(patch.length <= 5 * 2 ** 20 && patch.endsWith('\n'));
  t.match(files, [{ path: 'long.txt', additions: 200_000 }]);
});

t.test('status() and diff() detect a change within the second of the checkout', async (t) => {
  const { workspaces, read, write } = await makeTicket(t);
  const before = await read('b.txt');
  await write('b.txt', before.replace('b', 'B'));
  // Size and time in seconds are unchanged, so git must read the file, also in a later second.
  const second = () => Math.floor(Date.now() / 1000);
  for (const then = second(); second() === then; ) await new Promise((resolve) => setImmediate(resolve));
  t.match(await workspaces.status('W-1'), { dirty: true });
  t.match(await workspaces.diff('W-1'), { files: [{ path: 'b.txt' }] });
  await write('b.txt', before);
  t.match(await workspaces.status('W-1'), { dirty: false });
});

function objectCount(gitDir: string): number {
  return Number(plainGit(['--git-dir', gitDir, 'count-objects']).split(' ')[0]);
}

t.test('commit() clears the set-id bits of files in the workspace', async (t) => {
  const { workspaces, workspace, write } = await makeTicket(t);
  for (const [name, mode] of [
    ['both.sh', 0o6755],
    ['ignored.log', 0o4755],
  ] as const) {
    await write(name, '#!/bin/sh\n');
    await chmod(`${workspace}/${name}`, mode);
  }
  await workspaces.commit('W-1', { subject: 'Add programs' });
  t.equal((await stat(`${workspace}/both.sh`)).mode & 0o7777, 0o755);
  t.equal((await stat(`${workspace}/ignored.log`)).mode & 0o7777, 0o755, 'also of an ignored file');
});
