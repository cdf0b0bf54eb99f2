import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t, { type Test } from 'tap';
import { DEFAULT_PROTECTED_PATHS, readProtectedPaths } from '../../src/config/protected-paths.ts';
import { API_KEY, commitEntries, makeWorld, plainGit, repo, TOKEN } from './world.ts';

const WORKFLOW = '.github/workflows/ci.yml';

/** Creates the ticket G-1 on a repository with a workflow. */
async function makeTicket(t: Test, settings: { PROTECTED_PATHS?: readonly string[] } = {}) {
  const world = await makeWorld(t, settings);
  const { directory } = await world.github.addRepository('acme/widgets');
  commitEntries(directory, [
    { path: WORKFLOW, content: 'on: push\n' },
    { path: '.github/dependabot.yml', content: 'version: 2\n' },
    { path: 'fixture.txt', content: `AKIA${'A'.repeat(16)}\n` },
    { path: 'a.txt', content: 'a\n' },
  ]);
  await world.workspaces.create({ ticketId: 'G-1', repo: repo('acme/widgets') });
  const { workspace, gitDir } = await world.workspaces.paths('G-1');
  return {
    ...world,
    workspace,
    gitDir,
    directory,
    commit: () => world.workspaces.commit('G-1', { subject: 'Work' }),
    async write(path: string, content: string | Uint8Array) {
      await mkdir(dirname(`${workspace}/${path}`), { recursive: true });
      await writeFile(`${workspace}/${path}`, content);
    },
    tree: () =>
      plainGit(['--git-dir', gitDir, '-c', 'core.quotePath=false', 'ls-tree', '-r', '--name-only', 'HEAD']).split('\n'),
  };
}

t.test('commit() fails with secret_in_diff when it would publish a secret of the server', async (t) => {
  const { workspaces, workspace, write, commit } = await makeTicket(t);
  const { head } = await workspaces.status('G-1');
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const cases: Record<string, string | Uint8Array> = {
    'plain.txt': `token: ${TOKEN}\n`,
    'url.txt': `https://x/?k=${encodeURIComponent(API_KEY)}`,
    'json.json': JSON.stringify({ key: API_KEY }),
    'base64-1.txt': base64(`a${TOKEN}b`),
    'base64-2.txt': base64(`ab${API_KEY}`),
    'hex.txt': Buffer.from(API_KEY).toString('hex').toUpperCase(),
    'binary.bin': Buffer.concat([randomBytes(200_000), Buffer.from(API_KEY), randomBytes(10)]),
    [`deep/${TOKEN}/name.txt`]: 'nothing\n',
  };
  for (const [path, content] of Object.entries(cases)) {
    await write(path, content);
    const shown = path.replace(TOKEN, '[redacted]');
    const message = `A secret of the server would be published in ${shown}.`;
    await t.rejects(commit(), { code: 'secret_in_diff', message }, path);
    t.match(await workspaces.status('G-1'), { head, dirty: true }, 'the change stays in the workspace');
    await rm(`${workspace}/${path}`);
  }
  await symlink(`/tmp/${TOKEN}`, `${workspace}/link`);
  await t.rejects(commit(), { code: 'secret_in_diff', message: /published in link\./ });
  await rm(`${workspace}/link`);
  await write('a.txt', `a\n${TOKEN}`);
  await chmod(`${workspace}/a.txt`, 0o755);
  await t.rejects(commit(), { code: 'secret_in_diff', message: /published in a\.txt\./ });

  await write('a.txt', `${TOKEN.slice(0, -1)}\n`);
  t.match(await commit(), { commit: { filesChanged: 1 } }, 'a secret without its last character is allowed');
});

t.test('commit() finds a secret in a large file without reading the file into memory', async (t) => {
  const { workspace, write, commit } = await makeTicket(t);
  const size = 90 * 2 ** 20;
  const file = await open(`${workspace}/large.bin`, 'w');
  await file.truncate(size);
  await file.write(TOKEN, size - TOKEN.length);
  await file.close();
  const peak = measureHeldMemory();
  await t.rejects(commit(), { code: 'secret_in_diff', message: /large\.bin/ });
  const held = peak();
  t.ok(held < size / 3, `${held} bytes were held`);
  await write('large.bin', '');
  for (let index = 0; index < 300; index += 1) await write(`many/${index}`, `${index}\n`);
  await write('many/299', TOKEN);
  await t.rejects(commit(), { code: 'secret_in_diff', message: /many\/299/ });
});

/**
 * Samples the memory that stays in use after a garbage collection, every 50 ms from now on. Unlike the resident size
 * of the process, it does not depend on when the collector happens to run.
 * @returns a function that stops and returns the largest growth in bytes
 */
function measureHeldMemory(): () => number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  const inUse = () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = inUse();
  let peak = before;
  const sample = () => {
    peak = Math.max(peak, inUse());
  };
  const timer = setInterval(sample, 50);
  return () => {
    clearInterval(timer);
    sample();
    return peak - before;
  };
}

t.test('commit() redacts secrets in subject, body and trailers', async (t) => {
  const { workspaces, write, gitDir } = await makeTicket(t);
  await write('a.txt', 'b\n');
  const trailers = [['Run-Id', TOKEN]] as const;
  const { commit } = await workspaces.commit('G-1', {
    subject: `Use ${TOKEN}`,
    body: `gh\u0001${TOKEN.slice(2)}`,
    trailers,
  });
  t.equal(commit?.subject, 'Use [redacted]');
  const message = plainGit(['--git-dir', gitDir, 'log', '-1', '--format=%B']);
  t.notMatch(message, TOKEN.slice(8));
});

t.test('commit() notes files with text that looks like a credential', async (t) => {
  const { write, commit } = await makeTicket(t);
  await write('fixture.txt', `AKIA${'A'.repeat(16)}\nAKIA${'B'.repeat(16)}\n`);
  const shapes = {
    'key.pem': '-----BEGIN RSA PRIVATE KEY-----\n',
    'gh.txt': `x="ghp_${'a'.repeat(36)}"`,
    'aws.txt': `id=AKIA${'Q'.repeat(16)};`,
    'google.txt': `AIza${'b'.repeat(35)}`,
    'llm.txt': `sk-ant-api03-${'c'.repeat(60)}`,
    'slack.txt': `xoxb-${'1'.repeat(30)}`,
    'none.txt': 'task-force-of-the-department-for-the-protection-of-something ghp_short AKIAsmall xoxo-1234',
  };
  for (const [path, content] of Object.entries(shapes)) await write(path, content);
  const { commit: made, notes } = await commit();
  t.equal(made?.filesChanged, 8);
  t.strictSame(notes, [
    'aws.txt has text that looks like an AWS access key. It was committed.',
    'gh.txt has text that looks like a GitHub token. It was committed.',
    'google.txt has text that looks like a Google API key. It was committed.',
    'key.pem has text that looks like a private key. It was committed.',
    'llm.txt has text that looks like a model provider key. It was committed.',
    'slack.txt has text that looks like a Slack token. It was committed.',
  ]);
});

/** Changes to protected paths by an agent, and the paths that commit() holds back. */
const TRICKS: [name: string, heldBack: string[], edit: (ticket: Awaited<ReturnType<typeof makeTicket>>) => unknown][] =
  [
    ['a change', [WORKFLOW], ({ write }) => write(WORKFLOW, 'on: [push, pull_request_target]\n')],
    ['a new file', ['.github/workflows/new.yml'], ({ write }) => write('.github/workflows/new.yml', 'on: push\n')],
    ['a new action', ['.github/actions/a/action.yml'], ({ write }) => write('.github/actions/a/action.yml', 'runs:\n')],
    ['a deletion', [WORKFLOW], ({ workspace }) => rm(`${workspace}/${WORKFLOW}`)],
    ['a mode', [WORKFLOW], ({ workspace }) => chmod(`${workspace}/${WORKFLOW}`, 0o755)],
    ['a rename out of it', [WORKFLOW], ({ workspace }) => rename(`${workspace}/${WORKFLOW}`, `${workspace}/ci.yml`)],
    [
      'a rename into it',
      ['.github/workflows/a.yml'],
      ({ workspace }) => rename(`${workspace}/a.txt`, `${workspace}/.github/workflows/a.yml`),
    ],
    ['another case', ['.GitHub/Workflows/x.yml'], ({ write }) => write('.GitHub/Workflows/x.yml', 'on: push\n')],
    [
      'an invisible character',
      ['.git\u200chub/workflows/x.yml'],
      ({ write }) => write('.git\u200chub/workflows/x.yml', 'on: push\n'),
    ],
    [
      'another form of Unicode',
      ['.github/workflow\uff53/x.yml'],
      ({ write }) => write('.github/workflow\uff53/x.yml', 'on: push\n'),
    ],
    [
      'a name that NTFS shortens',
      ['.github./workflows /x.yml'],
      ({ write }) => write('.github./workflows /x.yml', 'x'),
    ],
    ['a short name of NTFS', ['GITHUB~1/WORKFL~1/x.yml'], ({ write }) => write('GITHUB~1/WORKFL~1/x.yml', 'x')],
    ['a separator of NTFS', ['.github\\workflows\\x.yml'], ({ write }) => write('.github\\workflows\\x.yml', 'x')],
    [
      'a stream of NTFS',
      ['.github/workflows::$INDEX_ALLOCATION/x'],
      ({ write }) => write('.github/workflows::$INDEX_ALLOCATION/x', 'x'),
    ],
    [
      'a link in the place of the folder',
      ['.github/workflows', WORKFLOW],
      async ({ workspace }) => {
        await rm(`${workspace}/.github/workflows`, { recursive: true });
        await symlink('../elsewhere', `${workspace}/.github/workflows`);
      },
    ],
    [
      'a file in the place of a folder above',
      ['.github', WORKFLOW],
      async ({ workspace, write }) => {
        await rm(`${workspace}/.github`, { recursive: true });
        await write('.github', 'a file\n');
      },
    ],
  ];

for (const [name, heldBack, edit] of TRICKS) {
  t.test(`commit() holds back protected paths: ${name}`, async (t) => {
    const ticket = await makeTicket(t);
    await edit(ticket);
    await ticket.write('work.txt', 'work\n');
    const committed = await ticket.commit();
    t.strictSame(committed.heldBack, heldBack.toSorted());
    const tree = ticket.tree();
    t.ok(tree.includes('work.txt'), 'other files are committed');
    t.strictSame(
      tree.filter((path) => /workfl|actions|~1/i.test(path.normalize('NFKC'))),
      [WORKFLOW],
    );
    t.equal(plainGit(['--git-dir', ticket.gitDir, 'show', `HEAD:${WORKFLOW}`]), 'on: push');
    t.match(await ticket.workspaces.status('G-1'), { dirty: true }, 'the held back files stay in the workspace');
    t.match(await ticket.commit(), { commit: undefined, heldBack: heldBack.toSorted() });
  });
}

t.test('commit() holds back the files of CI systems and review rules by default', async (t) => {
  const { paths, problems } = readProtectedPaths(['default', 'infra/']);
  t.strictSame(problems, []);
  const { write, commit, tree } = await makeTicket(t, { PROTECTED_PATHS: paths });
  const before = tree();
  const files = ['infra/', ...DEFAULT_PROTECTED_PATHS.map(([path]) => path)].map((path) =>
    path.endsWith('/') ? `${path}new.yml` : path,
  );
  for (const path of files) await write(path, 'on: push\n');
  await write('packages/a/Jenkinsfile', 'CI reads only the one at the top\n');
  await write('src/owners.ts', 'work\n');
  t.match(await commit(), { commit: { filesChanged: 2 }, heldBack: files.toSorted() });
  t.strictSame(tree(), [...before, 'packages/a/Jenkinsfile', 'src/owners.ts'].toSorted());
});

t.test('commit() drops set-id bits from modes', async (t) => {
  const { write, commit, workspace, gitDir } = await makeTicket(t);
  await write('program', '#!/bin/sh\n');
  await write('plain', 'x\n');
  await chmod(`${workspace}/program`, 0o7755);
  await chmod(`${workspace}/plain`, 0o6644);
  await commit();
  const modes = plainGit([
    '--git-dir',
    gitDir,
    'ls-tree',
    '--format=%(objectmode) %(path)',
    'HEAD',
    'program',
    'plain',
  ]);
  t.equal(modes, '100644 plain\n100755 program');
});

/** Attribute files, and the lines that hidingAttributes() names. */
const ATTRIBUTES: [name: string, named: string[], files: Record<string, string>][] = [
  ['that folds files', ['.gitattributes: *.ts linguist-generated'], { '.gitattributes': '*.ts linguist-generated\n' }],
  [
    'with a value',
    ['.gitattributes: *.ts linguist-generated=true text'],
    { '.gitattributes': ' *.ts linguist-generated=true text' },
  ],
  ['behind a pattern in quotes', ['.gitattributes: "a b" -diff'], { '.gitattributes': '"a b" -diff\n' }],
  [
    'in a folder',
    ['src/.gitattributes: * binary', 'src/.gitattributes: x diff=none'],
    { 'src/.gitattributes': '* binary\r\nx diff=none\r\n' },
  ],
  [
    'by a macro',
    ['.gitattributes: [attr]dull -diff', 'src/.gitattributes: * dull'],
    { '.gitattributes': '[attr]dull -diff\n', 'src/.gitattributes': '* dull\n' },
  ],
  [
    'that is removed',
    ['lib/.gitattributes, removed: *.js -linguist-generated'],
    { 'lib/.gitattributes': '*.js text\n* linguist-vendored\n' },
  ],
  [
    'in another order',
    [
      'lib/.gitattributes, in another order: * linguist-vendored',
      'lib/.gitattributes, in another order: *.js -linguist-generated',
    ],
    { 'lib/.gitattributes': '* linguist-vendored\n*.js -linguist-generated\n' },
  ],
  [
    'too long to be read',
    ['.gitattributes: too long to check'],
    { '.gitattributes': `${'#\n'.repeat(150_000)}* -diff\n` },
  ],
  [
    'that hides nothing',
    [],
    { '.gitattributes': '# *.ts binary\n*.ts text eol=lf\nbinary text\n', gitattributes: '* binary\n' },
  ],
];

for (const [name, named, files] of ATTRIBUTES) {
  t.test(`hidingAttributes() names the lines that hide changes: an attribute ${name}`, async (t) => {
    const world = await makeWorld(t);
    const { directory } = await world.github.addRepository('acme/widgets');
    commitEntries(directory, [
      { path: 'lib/.gitattributes', content: '*.js -linguist-generated\n* linguist-vendored\n' },
    ]);
    await world.workspaces.create({ ticketId: 'G-1', repo: repo('acme/widgets') });
    const { workspace } = await world.workspaces.paths('G-1');
    t.strictSame(await world.workspaces.hidingAttributes('G-1'), [], 'attributes of the base are not named');
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(`${workspace}/${path}`), { recursive: true });
      await writeFile(`${workspace}/${path}`, content);
    }
    await world.workspaces.commit('G-1', { subject: 'Work' });
    t.strictSame((await world.workspaces.hidingAttributes('G-1')).toSorted(), named.toSorted());
  });
}

t.test('commit() commits a path when its name only resembles a protected one', async (t) => {
  const { write, commit } = await makeTicket(t);
  for (const path of [
    'github/workflows/x',
    '.github/workflows.md',
    'x/.github/workflows/y',
    '.github/work',
    'GITLAB~1/a',
  ]) {
    await write(path, 'x\n');
  }
  t.match(await commit(), { commit: { filesChanged: 5 }, heldBack: [] });
});

t.test('commit() holds back a protected file of any size, and sync() merges one from the base', async (t) => {
  const { write, commit, directory, workspaces, workspace } = await makeTicket(t);
  const file = await open(`${workspace}/.github/workflows/big`, 'w');
  await file.truncate(100 * 2 ** 20);
  await file.close();
  await write('work.txt', 'x\n');
  t.match(await commit(), { commit: { filesChanged: 1 }, heldBack: ['.github/workflows/big'] });
  commitEntries(directory, [{ path: WORKFLOW, content: 'on: release\n' }]);
  t.match(await workspaces.sync('G-1'), { updated: true });
  t.equal(
    await readFile(`${workspace}/${WORKFLOW}`, 'utf8'),
    'on: release\n',
    'changes from the base are not held back',
  );
});
