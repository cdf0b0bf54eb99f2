import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SETUP = join(ROOT, 'scripts/setup.mjs');

function setup(args: string[], env: Record<string, string> = {}, script = SETUP) {
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env: { ...process.env, ...env } });
}

/** Creates a PATH with the named programs of this machine and the given scripts. */
function pathOf(folder: string, programs: string[], scripts: Record<string, string> = {}): string {
  for (const name of programs) {
    const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
    symlinkSync(found, join(folder, name));
  }
  for (const [name, text] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  return folder;
}

t.test('setup --check passes in a complete checkout', async (t) => {
  t.match(setup(['--check']), { status: 0, stderr: 'Setup is complete; nothing is missing.\n' });
});

t.test('setup --check names missing programs and the command that installs them', async (t) => {
  const PATH = pathOf(t.testdir({}), ['git'], { 'apt-get': 'exit 1', gh: 'echo gh version 2.4.0' });
  const { status, stderr } = setup(['--check'], { PATH, SANDBOX: 'auto' });
  t.equal(status, 1);
  t.match(stderr, 'Too old: the GitHub CLI, gh 2.4.0; 2.20 or newer is required.');
  const linux = process.platform === 'linux';
  t.match(stderr, linux ? /apt-get install -y gh bubblewrap/ : /apt-get install -y gh/);
  t.notMatch(setup(['--check'], { PATH, SANDBOX: 'none' }).stderr, 'bubblewrap', 'not needed without a sandbox');
});

t.test('setup installs missing programs when it has permission', async (t) => {
  const folder = t.testdir({});
  const install = `echo "$@" >>'${folder}/log'; case "$*" in *install*) echo "#!/bin/sh\necho gh version 2.50.0" >'${folder}/gh'; chmod +x '${folder}/gh';; esac`;
  const PATH = pathOf(folder, ['git', 'env', 'true', 'chmod'], {
    'apt-get': install,
    sudo: '[ "$1" = -n ] && shift; exec "$@"',
  });
  const { status, stderr } = setup([], { PATH, SANDBOX: 'none' });
  t.match(stderr, 'Missing: the GitHub CLI, gh (2.20 or newer).\nInstalling with apt-get: gh\n');
  t.match(stderr, 'Setup is complete.');
  t.equal(status, 0);
});

t.test('setup fails with a link when the package manager fails', async (t) => {
  const PATH = pathOf(t.testdir({}), ['git', 'env', 'true'], {
    'apt-get': 'exit 1',
    sudo: '[ "$1" = -n ] && shift; exec "$@"',
  });
  t.match(setup([], { PATH, SANDBOX: 'none' }), {
    status: 1,
    stderr: /apt-get did not install it.*https:\/\/cli\.github\.com/s,
  });
});

t.test('setup runs no script in an incomplete checkout and names the remedy', async (t) => {
  const folder = t.testdir({ 'package-lock.json': '{"packages": {}}', 'main.ts': 'console.log("ran")' });
  mkdirSync(join(folder, 'scripts'));
  copyFileSync(SETUP, join(folder, 'scripts/setup.mjs'));
  const { status, stdout, stderr } = setup(['--check', '--', 'main.ts'], {}, join(folder, 'scripts/setup.mjs'));
  t.same(
    { status, stdout, stderr },
    { status: 1, stdout: '', stderr: 'This checkout is not set up. Run: npm run setup\n' },
  );
});

t.test('setup passes arguments, signals and the exit code through', async (t) => {
  const folder = t.testdir({
    'echo.ts': 'const args: string[] = process.argv.slice(2); console.log(JSON.stringify(args)); process.exit(7);',
    'wait.ts': 'process.on("SIGTERM", () => process.exit(9)); setInterval(() => {}, 1000); console.log("ready");',
  });
  const args = ['a b', '--check', '$(id)'];
  t.match(setup(['--check', '--', join(folder, 'echo.ts'), ...args]), {
    status: 7,
    stdout: `${JSON.stringify(args)}\n`,
    stderr: '',
  });

  const child = spawn(process.execPath, [SETUP, '--check', '--', join(folder, 'wait.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [9, null]);
});

t.test('the server works in a folder whose name has spaces and non-ASCII letters', async (t) => {
  const checkout = join(t.testdir({}), 'ein Büro 100%');
  const sources = ['client', 'dashboard', 'plugins', 'schemas', 'scripts', 'src'];
  for (const name of ['package.json', 'tsconfig.json', ...sources]) {
    const filter = (path: string) => !path.endsWith('dashboard/dist');
    cpSync(join(ROOT, name), join(checkout, name), { recursive: true, filter });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(checkout, 'node_modules'));
  const run = (...args: string[]) =>
    spawn('env', ['-i', `PATH=${process.env.PATH}`, 'PORT=0', 'AGENT_POOL_SPARE=0', process.execPath, ...args], {
      cwd: checkout,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  t.same(await once(run('scripts/build-dashboard.ts'), 'exit'), [0, null]);

  const server = run('src/main.ts');
  t.teardown(() => server.kill('SIGKILL'));
  const ended = once(server, 'exit');
  let page: Response | undefined;
  for await (const line of createInterface({ input: server.stdout })) {
    const [, url] = /Server listening at (http:[^"]+)/.exec(line) ?? [];
    if (url === undefined) continue;
    page = await fetch(`${url}/dashboard/`);
    server.kill();
  }
  t.equal(page?.status, 200, 'the server serves the dashboard');
  t.same(await ended, [0, null]);
});

t.test('setup refuses unknown options and a missing script after --', async (t) => {
  t.match(setup(['--']), { status: 1, stderr: /^Usage/ });
  t.match(setup(['--checks']), { status: 1, stderr: /^Usage/ });
});
