import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { LIMITS, makeFolders, makeSandbox } from './fixtures.ts';
import { allGone, descendants } from './process-tree.ts';

/** Starts three processes that survive signals and the exit of their shell and session; each prints when it is up. */
const STUBBORN = [
  `setsid sh -c 'echo up; exec sleep 1000' &`,
  `nohup sh -c 'echo up; exec sleep 1000' 2>/dev/null &`,
  `(trap "" HUP INT TERM; setsid sh -c 'trap "" HUP INT TERM; echo up; while :; do sleep 1000; done' &) &`,
].join(' ');

/** Starts the stubborn processes in a sandbox, next to a shell that waits for a line. */
async function startStubborn(sandbox: Sandbox, workspace: string) {
  const child = await sandbox.spawn({ argv: ['sh', '-c', `${STUBBORN} read line`], workspace, writable: true });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  for (let up = 0; up < 3; up += 1) await lines.next();
  return { child, tree: descendants(child.pid) };
}

const FORK_BOMB = fileURLToPath(new URL('fork-bomb.ts', import.meta.url));
const FILTER = fileURLToPath(
  new URL(`../../src/sandbox/seccomp/${process.arch === 'arm64' ? 'arm64' : 'x86-64'}.bpf`, import.meta.url),
);
const SERVER = fileURLToPath(new URL('server.ts', import.meta.url));

t.test('a sandbox hides the host and restricts writes to its workspace', async (t) => {
  const folders = await makeFolders(t);
  const { workspace, DATA_DIR } = folders;
  await writeFile(join(workspace, '.git'), 'gitdir: /nowhere\n');
  await writeFile(join(DATA_DIR, 'store.db'), 'rows');
  await mkdir(join(folders.TICKETS_ROOT, 'T-2'));
  const { sandbox, sh } = makeSandbox(folders, 'auto');
  t.same(await sandbox.check(), { ok: true });
  const { workspace: work } = sandbox.layout({ workspace, home: '' });
  const lines = async (script: string, options = {}) => (await sh(script, options)).output.trim().split('\n');

  t.same(await lines('pwd; cat README.md'), [work, '# Widgets']);
  t.match((await sh(`echo x > ${work}/new`, { writable: false })).output, /Read-only file system/);
  t.notOk(existsSync(join(workspace, 'new')), 'a read-only sandbox cannot write its workspace');
  t.equal((await sh(`echo x > ${work}/new`)).code, 0);
  t.equal(readFileSync(join(workspace, 'new'), 'utf8'), 'x\n', 'a writable sandbox can');
  for (const attack of ['echo x > .git', 'rm -f .git', 'mv .git .other', 'ln -sf /etc .git']) {
    t.not((await sh(attack, { git: { dir: DATA_DIR, mirror: DATA_DIR } })).code, 0, attack);
  }
  t.equal(readFileSync(join(workspace, '.git'), 'utf8'), 'gitdir: /nowhere\n', '.git is unchanged');

  for (const path of [
    DATA_DIR,
    join(folders.TICKETS_ROOT, 'T-2'),
    '/root',
    '/etc/shadow',
    '/etc/ssl/private',
    process.cwd(),
  ]) {
    t.equal((await sh(`test -e ${path}`)).code, 1, `${path} is hidden`);
  }
  for (const path of ['/usr/x', '/etc/x', '/x', '/dev/x', '/opt/node/bin/node']) {
    t.not((await sh(`echo x > ${path}`)).code, 0, `${path} is read-only`);
  }
  t.equal((await sh('echo x > ~/x && echo y > /tmp/y')).code, 0, 'home and /tmp are writable');
  t.equal((await sh('ls -A ~ /tmp | grep -v :')).output.trim(), '', 'home and /tmp are empty in the next sandbox');

  const env = { SECRET_VARIABLE: 'swordfish' };
  t.same(
    (await lines('env | cut -d= -f1 | sort', { env })).filter((name) => name !== '_'),
    [...['GIT_OPTIONAL_LOCKS', 'HOME', 'LANG', 'PATH', 'PWD', 'SECRET_VARIABLE']],
  );
  t.equal((await sh('cat /proc/1/environ 2>/dev/null', { env })).output, '', 'the environment of bubblewrap is empty');
  t.match(await lines('node --version; which node'), [process.version, '/opt/node/bin/node']);
  t.same(await lines('grep -h Cap /proc/self/status | cut -f2 | sort -u'), ['0000000000000000']);
  t.not((await sh('unshare -U true')).code, 0, 'the sandbox cannot create a user namespace');
  t.match((await sh(`kill -9 ${process.pid}`)).output, /No such process/);
  t.not(
    (await lines('readlink /proc/self/ns/net'))[0],
    readlinkSync('/proc/self/ns/net'),
    'the sandbox has its own network namespace',
  );
});

/** Comments in the syntax of OpenSSL. */
const PUBLIC = '# public';
const KEY = '# key';

/** Layouts of /etc with certificates and private keys by distribution. Programs read the paths in `found`. */
const ETC_OF = {
  Debian: {
    files: { 'ssl/certs/ca-certificates.crt': PUBLIC, 'ssl/openssl.cnf': PUBLIC, 'ssl/private/server.key': KEY },
    links: {},
    found: ['ssl/certs/ca-certificates.crt', 'ssl/openssl.cnf'],
  },
  Fedora: {
    files: {
      'pki/ca-trust/extracted/pem/tls-ca-bundle.pem': PUBLIC,
      'pki/tls/openssl.cnf': PUBLIC,
      'pki/tls/private/server.key': KEY,
      'pki/entitlement/1-key.pem': KEY,
    },
    links: {
      'pki/tls/certs/ca-bundle.crt': '../../ca-trust/extracted/pem/tls-ca-bundle.pem',
      'pki/tls/cert.pem': '/etc/pki/tls/certs/ca-bundle.crt',
      'ssl/certs': '../pki/tls/certs',
      'ssl/cert.pem': '/etc/pki/tls/cert.pem',
      'ssl/openssl.cnf': '/etc/pki/tls/openssl.cnf',
    },
    found: [
      'pki/tls/cert.pem',
      'pki/tls/certs/ca-bundle.crt',
      'ssl/certs/ca-bundle.crt',
      'ssl/cert.pem',
      'ssl/openssl.cnf',
    ],
  },
  Alpine: {
    files: { 'ssl/certs/ca-certificates.crt': PUBLIC, 'ssl/openssl.cnf': PUBLIC, 'ssl/private/server.key': KEY },
    links: { 'ssl/cert.pem': 'certs/ca-certificates.crt' },
    found: ['ssl/certs/ca-certificates.crt', 'ssl/cert.pem'],
  },
};

for (const [name, { files, links, found }] of Object.entries(ETC_OF)) {
  t.test(`a sandbox shows certificates and hides private keys when /etc has the layout of ${name}`, async (t) => {
    const folders = await makeFolders(t);
    const etc = join(folders.root, 'etc');
    for (const path of Object.keys({ ...files, ...links })) await mkdir(dirname(join(etc, path)), { recursive: true });
    for (const [path, text] of Object.entries(files)) await writeFile(join(etc, path), `${text}\n`);
    for (const [path, target] of Object.entries(links)) await symlink(target, join(etc, path));
    const commands = `cat ${found.map((path) => `/etc/${path}`).join(' ')}; grep -rx '${KEY}' /etc`;
    const script = `
      import { createSandbox } from ${JSON.stringify(new URL('../../src/sandbox/sandbox.ts', import.meta.url).href)};
      const sandbox = createSandbox({ config: ${JSON.stringify({ SANDBOX: 'auto', ...LIMITS, ...folders })} });
      const run = { workspace: ${JSON.stringify(folders.workspace)}, writable: false, timeoutMs: 60000, maxOutputBytes: 9999 };
      const { output } = await sandbox.run({ argv: ['sh', '-c', ${JSON.stringify(commands)}], ...run });
      process.stdout.write(output);`;
    const machine = [
      '--dev-bind',
      '/',
      '/',
      '--ro-bind',
      etc,
      '/etc',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ];
    t.equal(execFileSync('bwrap', machine, { encoding: 'utf8' }), found.map(() => `${PUBLIC}\n`).join(''));
  });
}

t.test('programs in a sandbox find the certificates of the machine', async (t) => {
  const { sh } = makeSandbox(await makeFolders(t), 'auto');
  const env = { PATH: dirname(process.execPath) };
  const count = `node -p "require('node:tls').getCACertificates('system').length"`;
  t.equal((await sh(count)).output, execFileSync('/bin/sh', ['-c', count], { encoding: 'utf8', env }));
});

t.test('no environment variable appears in arguments, which every user of the host can read', async (t) => {
  const folders = await makeFolders(t);
  const { sandbox } = makeSandbox(folders, 'auto');
  const child = await sandbox.spawn({
    argv: ['sh', '-c', 'echo started; exec sleep 1000'],
    env: { SECRET_VARIABLE: 'swordfish' },
    workspace: folders.workspace,
    writable: false,
  });
  t.teardown(() => child.kill());
  await once(child.stdout, 'data');
  const pids = [child.pid, ...descendants(child.pid)];
  t.ok(pids.length >= 3, 'bubblewrap, its init and the program');
  for (const pid of pids) t.notMatch(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), 'swordfish');
});

t.test('git works in a sandbox when the git directory and the mirror are read-only', async (t) => {
  const folders = await makeFolders(t);
  const { workspace, DATA_DIR } = folders;
  const mirror = join(DATA_DIR, 'mirror.git');
  const gitDir = join(DATA_DIR, 'T-1.git');
  const identity = ['-c', 'user.name=A', '-c', 'user.email=a@example.org'];
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'safe.directory=*', ...args], { cwd: workspace, encoding: 'utf8', stdio: 'pipe' });
  git('init', '-q', '--bare', mirror);
  git('--git-dir', mirror, '--work-tree', workspace, 'add', 'README.md');
  git('--git-dir', mirror, '--work-tree', workspace, ...identity, 'commit', '-q', '-m', 'First');
  git('init', '-q', '--separate-git-dir', gitDir);
  writeFileSync(join(gitDir, 'objects/info/alternates'), `${join(mirror, 'objects')}\n`);
  git('update-ref', 'HEAD', git('--git-dir', mirror, 'rev-parse', 'HEAD').trim());
  git('reset', '-q');
  writeFileSync(join(workspace, 'README.md'), '# Gadgets\n');

  const { sh } = makeSandbox(folders, 'auto');
  const repository = { git: { dir: gitDir, mirror } };
  const { output } = await sh('git log --format=%s; git status --short; git diff', repository);
  t.match(output, /^First\n M README.md\ndiff --git/);
  t.match(output, /\+# Gadgets/);
  t.not((await sh(`git ${identity.join(' ')} commit -qam x`, repository)).code, 0, 'git cannot commit');
  t.not((await sh(`echo x > ${gitDir}/config`, repository)).code, 0, 'the configuration is read-only');
});

t.test('sandbox.spawn() fails when .git is a link', async (t) => {
  const folders = await makeFolders(t);
  symlinkSync(folders.DATA_DIR, join(folders.workspace, '.git'));
  const { sh } = makeSandbox(folders, 'auto');
  const git = { dir: folders.DATA_DIR, mirror: folders.DATA_DIR };
  await t.rejects(sh('ls .git/', { git }), { code: 'workspace_tampered' });
});

t.test('a sandbox mounts paths of the host where the request names them', async (t) => {
  const folders = await makeFolders(t);
  const tool = { host: join(folders.DATA_DIR, 'tool'), inside: '/opt/tool' };
  writeFileSync(tool.host, '#!/bin/sh\necho tool\n');
  chmodSync(tool.host, 0o755);
  for (const name of ['home', 'kept']) await mkdir(join(folders.DATA_DIR, name));
  await writeFile(join(folders.DATA_DIR, 'home/settings'), 'fixed');
  const kept = join(folders.DATA_DIR, 'kept');
  const home = { folder: join(folders.DATA_DIR, 'home'), readOnly: ['settings'], writable: { 'a/b': kept } };
  const { sandbox, sh } = makeSandbox(folders, 'auto');

  t.equal((await sh(sandbox.path(tool), { mounts: [tool] })).output, 'tool\n');
  const script = 'cat ~/settings; echo x > ~/a/b/file; echo y > ~/other; echo z > ~/settings';
  t.match((await sh(script, { home })).output, /^fixed[\s\S]*Read-only file system/);
  t.ok(existsSync(join(kept, 'file')), 'writes to a writable folder are kept');
  t.notOk(existsSync(join(home.folder, 'other')), 'other writes are not kept');
});

t.test('a run kills its child processes when it finishes, times out or is aborted', async (t) => {
  const folders = await makeFolders(t);
  for (const kind of ['auto', 'none'] as const) {
    const { sh } = makeSandbox(folders, kind);
    const long = await sh('sleep 1000 & echo working; sleep 1000', { timeoutMs: 500 });
    t.match(long, { code: null, output: 'working\n', timedOut: true }, `${kind}: at its timeout`);
    const daemon = await sh('sleep 1000 & echo done');
    t.match(daemon, { code: 0, output: 'done\n', timedOut: false }, `${kind}: when a daemon holds the pipes`);
    t.match(await sh('echo no >&2; exit 3'), { code: 3, output: 'no\n' }, `${kind}: the exit code is returned`);

    const abort = new AbortController();
    const reason = new Error('enough');
    const running = sh('sleep 1000', { signal: abort.signal });
    abort.abort(reason);
    await t.rejects(running, reason, `${kind}: when it is aborted`);
    await t.rejects(sh('true', { signal: abort.signal }), reason, `${kind}: when the signal is already aborted`);
    t.same(descendants(process.pid), [], `${kind}: no process remains`);
  }
});

t.test('the sandbox kills a command when it exceeds the disk quota', async (t) => {
  const folders = await makeFolders(t);
  const kept = join(folders.DATA_DIR, 'kept');
  const home = { folder: join(folders.DATA_DIR, 'home'), writable: { kept } };
  await mkdir(kept);
  for (const kind of ['auto', 'none'] as const) {
    const { sh } = makeSandbox(folders, kind, { MAX_WORKSPACE_MB: 5 });
    t.equal((await sh('head -c 2000000 /dev/zero > some', { home })).code, 0);
    const fill = (folder: string) => sh(`cd ${folder}; head -c 9000000 /dev/zero > much; sleep 1000`, { home });
    await t.rejects(fill('.'), { code: 'workspace_too_large', message: /has grown to \d+ MiB; the limit is 5 MiB/ });
    await rm(join(folders.workspace, 'much'));
    await t.rejects(fill('~/kept'), { code: 'workspace_too_large' }, 'the kept part of the home counts too');
    await rm(join(kept, 'much'));
    t.same(descendants(process.pid), []);
  }
});

t.test('a run keeps the end of its output when the output is too long', async (t) => {
  const folders = await makeFolders(t);
  const { sh } = makeSandbox(folders, 'auto');
  const { output } = await sh('seq 1 100000', { maxOutputBytes: 1000 });
  t.match(output, /^\[\d+ bytes cut\]\n[\s\S]*\n100000\n$/);
  t.ok(output.length < 1100);
});

t.test('`kill` also kills processes that ignore signals or detached themselves', async (t) => {
  const folders = await makeFolders(t);
  for (const EGRESS_ALLOW of [[], ['registry.example.org']]) {
    const { sandbox } = makeSandbox(folders, 'auto', { EGRESS_ALLOW });
    const killed = await startStubborn(sandbox, folders.workspace);
    t.ok(killed.tree.length >= 5);
    await killed.child.kill();
    t.match(await killed.child.exited, { code: null, signal: 'SIGKILL' });
    await allGone(killed.tree);

    const ended = await startStubborn(sandbox, folders.workspace);
    ended.child.stdin.end('enough\n');
    t.match(await ended.child.exited, { code: 0 });
    await allGone(ended.tree);
    await ended.child.kill();
  }
});

t.test('no process of a sandbox survives when its server is killed', async (t) => {
  const folders = await makeFolders(t);
  const server = spawn(process.execPath, [SERVER, folders.DATA_DIR, folders.TICKETS_ROOT, folders.workspace], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(server.stdout, 'data');
  const tree = descendants(server.pid ?? 0);
  t.ok(tree.length >= 4);
  server.kill('SIGKILL');
  await allGone(tree);
});

t.test('a sandbox works when the server is not root', { skip: otherUserSkipReason() }, async (t) => {
  const folders = await makeFolders(t);
  execFileSync('chown', ['-R', '12345:12345', folders.root]);
  const script = `
    import { createSandbox } from ${JSON.stringify(new URL('../../src/sandbox/sandbox.ts', import.meta.url).href)};
    const sandbox = createSandbox({ config: ${JSON.stringify({ SANDBOX: 'auto', ...LIMITS, ...folders })} });
    const run = { workspace: ${JSON.stringify(folders.workspace)}, writable: true, timeoutMs: 60000, maxOutputBytes: 9999 };
    console.log(JSON.stringify([process.getuid(), await sandbox.check(), await sandbox.run({ argv: ['touch', 'made'], ...run })]));`;
  const output = execFileSync('setpriv', [
    ...['--reuid=12345', '--regid=12345', '--clear-groups', 'env', '-i', process.execPath],
    ...['--input-type=module', '-e', script],
  ]);
  t.match(JSON.parse(output.toString()), [12345, { ok: true }, { code: 0 }]);
  t.ok(existsSync(join(folders.workspace, 'made')));
});

t.test('a sandbox stops a fork bomb when the server is not root', { skip: unprivilegedSkipReason() }, async (t) => {
  const folders = await makeFolders(t);
  const program = ['env', '-i', `PATH=${process.env.PATH}`, process.execPath, FORK_BOMB, folders.root];
  const other = ['setpriv', '--reuid=12345', '--regid=12345', '--clear-groups'];
  if (process.getuid?.() === 0) execFileSync('chown', ['-R', '12345:12345', folders.root]);
  const [file = '', ...args] = process.getuid?.() === 0 ? [...other, ...program] : program;
  t.match(JSON.parse(execFileSync(file, args, { encoding: 'utf8', cwd: folders.root })), {
    output: /Cannot fork/,
    code: 2,
  });
});

t.test('`run` fails without starting the command when no sandbox can be created', async (t) => {
  const folders = await makeFolders(t);
  const script = `
    import { createSandbox } from ${JSON.stringify(new URL('../../src/sandbox/sandbox.ts', import.meta.url).href)};
    const sandbox = createSandbox({ config: ${JSON.stringify({ SANDBOX: 'auto', ...LIMITS, ...folders })} });
    const check = await sandbox.check();
    const run = { workspace: ${JSON.stringify(folders.workspace)}, writable: true, timeoutMs: 60000, maxOutputBytes: 9999 };
    const error = await sandbox.run({ argv: ['touch', 'made'], ...run }).catch((error) => error);
    console.log(JSON.stringify({ check, code: error.code, detail: error.message, remedy: error.remedy }));`;
  const server = [process.execPath, '--input-type=module', '-e', script];
  const without = (...options: string[]) =>
    JSON.parse(execFileSync('bwrap', ['--dev-bind', '/', '/', ...options, ...server], { encoding: 'utf8' }));

  const missing = without('--tmpfs', '/usr/bin', '--ro-bind', '/usr/bin/env', '/usr/bin/env');
  t.match(missing, { check: { ok: false }, code: 'agent_unavailable', detail: /is not installed/ });
  t.match(missing.remedy, /apt-get install bubblewrap.*SANDBOX=none/);
  const forbidden = without('--unshare-user', '--disable-userns');
  t.match(forbidden, {
    check: { ok: false },
    code: 'agent_unavailable',
    detail: /does not work on this machine|do not exist here/,
  });
  t.match(forbidden.remedy, /unprivileged user namespaces[\s\S]*SANDBOX=none|user of its own/);
  const filter = readFileSync(FILTER);
  filter[0] = 6;
  writeFileSync(join(folders.root, 'filter'), filter);
  const altered = without('--ro-bind', join(folders.root, 'filter'), FILTER);
  t.match(altered, {
    check: { ok: false },
    code: 'agent_unavailable',
    detail: /seccomp filter .* is not the original/,
  });
  t.match(altered.remedy, /Install the server again/);
  t.notOk(existsSync(join(folders.workspace, 'made')));
});

t.test('SANDBOX=none starts processes on the host with few environment variables', async (t) => {
  const folders = await makeFolders(t);
  const { sandbox, sh } = makeSandbox(folders, 'none');
  t.equal(sandbox.kind, 'none');
  t.same(await sandbox.check(), { ok: true });
  const home = { folder: folders.DATA_DIR };
  const { output } = await sh('pwd; echo $HOME; env -0 | cut -zd= -f1 | sort -z | tr "\\0" "\\n"', {
    home,
    env: { GIVEN: 'x' },
  });
  const [cwd, homeSeen, ...names] = output.trim().split('\n');
  t.same([cwd, homeSeen], [folders.workspace, folders.DATA_DIR]);
  // tap adds variables to every process.
  t.same(
    names.filter((name) => !/^(_.*|PWD|NODE_OPTIONS)$/.test(name)),
    ['GIT_OPTIONAL_LOCKS', 'GIVEN', 'HOME', 'LANG', 'PATH'],
  );
  await t.rejects(sandbox.spawn({ argv: ['no-such-program'], workspace: folders.workspace, writable: true }), {
    code: 'agent_unavailable',
    message: /no-such-program/,
  });
});

/** Returns why this test cannot become an unprivileged user, or false when it can. */
function unprivilegedSkipReason(): string | false {
  return process.getuid?.() === 0 ? otherUserSkipReason() : false;
}

function otherUserSkipReason(): string | false {
  if (process.getuid?.() !== 0) return 'this test is not root';
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return `other users may not enter ${folder}`;
  }
  return false;
}
