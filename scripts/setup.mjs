// Makes a checkout ready to run, and runs a program of it when asked to. Plain JavaScript that needs no package and runs
// on every Node from 18 on, because it comes before both the packages and the Node version of the project.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs';
import { constants as os } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const USAGE = `Usage: node scripts/setup.mjs [--check] [--test] [-- SCRIPT ARGUMENT...]

Installs what is missing: the npm packages, and the programs git, gh and bubblewrap; and builds the dashboard.
  --check    installs nothing; says what is missing and how to get it
  --test     prepares what the tests need too
  -- SCRIPT  then runs a TypeScript file of the project with its own Node`;

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BIN = join(ROOT, 'node_modules', '.bin');
const NODE = join(BIN, 'node');

/** What the server calls, why, and from which version on. */
const PROGRAMS = [
  { name: 'git', title: 'git', least: [2, 38], help: 'https://git-scm.com/downloads' },
  { name: 'gh', title: 'the GitHub CLI, gh', least: [2, 20], help: 'https://cli.github.com' },
  { name: 'bwrap', title: 'bubblewrap', least: [0, 8], help: 'https://github.com/containers/bubblewrap' },
  {
    name: 'curl',
    title: 'curl, which the tests call',
    least: [7, 0],
    tests: true,
    help: 'https://curl.se/download.html',
  },
  {
    name: 'chromium',
    title: 'Chromium, in which the tests open the dashboard',
    least: [120, 0],
    tests: true,
    help: 'https://www.chromium.org/getting-involved/download-chromium/',
  },
  {
    name: 'strace',
    title: 'strace, with which the tests see what the server opens',
    // The first with --seccomp-bpf and --pidns-translation.
    least: [5, 9],
    tests: true,
    help: 'https://strace.io',
  },
];

/** Package managers in the order they are looked for, with their names for the programs that are called otherwise. */
const MANAGERS = [
  {
    name: 'apt-get',
    install: [
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      'install',
      '-y',
      '-qq',
      '--no-install-recommends',
      '-o=Dpkg::Use-Pty=0',
    ],
    typed: ['apt-get', 'install', '-y'],
    refresh: ['apt-get', 'update', '-qq'],
    packages: { bwrap: 'bubblewrap' },
  },
  { name: 'dnf', install: ['dnf', 'install', '-y', '-q'], packages: { bwrap: 'bubblewrap' } },
  {
    name: 'pacman',
    install: ['pacman', '-S', '--needed', '--noconfirm'],
    refresh: ['pacman', '-Sy'],
    packages: { gh: 'github-cli', bwrap: 'bubblewrap' },
  },
  { name: 'apk', install: ['apk', 'add', '--no-cache'], packages: { gh: 'github-cli', bwrap: 'bubblewrap' } },
  { name: 'brew', install: ['brew', 'install'], withoutRoot: true, packages: {} },
];

/** What keeps the checkout from being ready, in words for the person at the keyboard. */
class NotReady extends Error {}

try {
  const { install, tests, script } = readArguments(process.argv.slice(2));
  await setUp(install, tests);
  if (script === undefined) say(install ? 'Everything that Pullwright needs is here.' : 'Nothing is missing.');
  else run(script);
} catch (error) {
  if (!(error instanceof NotReady)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

function readArguments(args) {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const options = args.slice(0, end);
  const script = args.slice(end + 1);
  const unknown = options.find((option) => option !== '--check' && option !== '--test');
  if (unknown !== undefined || (end < args.length && script.length === 0)) throw new NotReady(USAGE);
  return {
    install: !options.includes('--check'),
    tests: options.includes('--test'),
    script: script.length === 0 ? undefined : script,
  };
}

async function setUp(install, tests) {
  if (process.platform === 'win32') throw new NotReady('Pullwright runs on Linux and macOS; on Windows, use WSL.');
  const [lacking, node] = await Promise.all([lackingPrograms(tests), nodeVersion()]);
  const packages = packagesAreCurrent();
  if (!install) {
    if (lacking.length > 0) throw new NotReady(programsToInstall(lacking));
    if (!packages || !isProjectNode(node)) throw new NotReady('This checkout is not set up. Run: npm run setup');
  }
  if (lacking.length > 0) await installPrograms(lacking, tests);
  if (!packages) installPackages();
  if (!packages || !isProjectNode(node)) await ensureNode();
  if (install && process.platform === 'darwin' && !sandboxIsOff()) {
    say('macOS has no bubblewrap. Agents run with SANDBOX=none only: without isolation, for development.');
  }
  if (install && !dashboardIsBuilt()) buildDashboard();
  if (tests && !tapIsBuilt()) buildTap();
}

// --- programs of the system

async function lackingPrograms(tests) {
  const needed = PROGRAMS.filter(
    (program) =>
      (program.name !== 'bwrap' || (process.platform === 'linux' && !sandboxIsOff())) && (tests || !program.tests),
  );
  const versions = await Promise.all(needed.map(({ name }) => output(name, ['--version'])));
  return needed
    .map((program, index) => ({ ...program, version: /\d+\.\d+(\.\d+)?/.exec(versions[index] ?? '')?.[0] }))
    .filter(({ version, least }) => version === undefined || !isAtLeast(version, least));
}

async function installPrograms(lacking, tests) {
  const manager = MANAGERS.find(({ name }) => isOnPath(name));
  const prefix = manager === undefined ? undefined : rightToInstall(manager);
  if (manager === undefined || prefix === undefined) throw new NotReady(programsToInstall(lacking));

  const wanted = packageNames(manager, lacking);
  say(`${describe(lacking)}\nInstalling with ${manager.name}: ${wanted.join(' ')}`);
  const install = () => execute([...prefix, ...manager.install, ...wanted]);
  const refresh = () => manager.refresh !== undefined && execute([...prefix, ...manager.refresh]);
  if (needsRefresh(manager)) refresh();
  // Package lists that are too old name files that are gone.
  if (!install() && refresh()) install();

  const still = await lackingPrograms(tests);
  if (still.length === 0) return;
  const places = still.map(({ title, help }) => `  ${title}: ${help}`);
  throw new NotReady(
    `${describe(still)}\n${manager.name} did not provide it. Install it as described there, then try again:\n${places.join('\n')}`,
  );
}

function programsToInstall(lacking) {
  const manager = MANAGERS.find(({ name }) => isOnPath(name));
  if (manager === undefined) {
    const places = lacking.map(({ title, help }) => `  ${title}: ${help}`);
    return `${describe(lacking)}\nInstall, then try again:\n${places.join('\n')}`;
  }
  const steps = [[...(manager.typed ?? manager.install), ...packageNames(manager, lacking)]];
  if (needsRefresh(manager)) steps.unshift(manager.refresh);
  return `${describe(lacking)}\nType this, then try again:\n\n  ${asTyped(manager, steps)}\n`;
}

function asTyped(manager, steps) {
  const commands = steps.map((step) => step.join(' '));
  if (manager.withoutRoot || isRoot()) return commands.join(' && ');
  if (isOnPath('sudo')) return commands.map((command) => `sudo ${command}`).join(' && ');
  return `su -c '${commands.join(' && ')}'`;
}

/** What goes before a command that installs: nothing for root and brew, sudo when it asks nothing, else undefined. */
function rightToInstall(manager) {
  if (manager.withoutRoot || isRoot()) return [];
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? ['sudo', '-n'] : undefined;
}

/** Images of Debian come without package lists. */
function needsRefresh(manager) {
  if (manager.name !== 'apt-get') return false;
  try {
    return !readdirSync('/var/lib/apt/lists').some((file) => file.includes('_Packages'));
  } catch {
    return true;
  }
}

function describe(lacking) {
  return lacking
    .map(({ title, version, least }) =>
      version === undefined
        ? `Missing: ${title} (${least.join('.')} or newer).`
        : `Too old: ${title} ${version}; ${least.join('.')} or newer is needed.`,
    )
    .join('\n');
}

function packageNames(manager, programs) {
  return programs.map(({ name }) => manager.packages[name] ?? name);
}

/** Whether the operator does without the sandbox, in the environment or in `.env`. */
function sandboxIsOff() {
  return (process.env.SANDBOX ?? /^SANDBOX=["']?(\w+)/m.exec(readText('.env') ?? '')?.[1]) === 'none';
}

// --- npm packages

/** Compares what npm noted down about node_modules after its last complete installation with what the lock file wants. */
function packagesAreCurrent() {
  const installed = JSON.parse(readText('node_modules/.package-lock.json') ?? '{}').packages;
  if (installed === undefined) return false;
  const wanted = JSON.parse(readText('package-lock.json') ?? '{}').packages ?? {};
  return Object.entries(wanted).every(([path, { version, optional, devOptional }]) => {
    if (path === '') return true;
    return installed[path] === undefined ? optional || devOptional : installed[path].version === version;
  });
}

function installPackages() {
  say('Installing the npm packages; this takes about a minute.');
  // On an old Node, npm warns about every package that wants a newer one, which the project brings along.
  if (!execute(['npm', 'ci', '--loglevel=error', '--no-update-notifier']))
    throw new NotReady('npm could not install the packages; see above.');
}

async function ensureNode() {
  if (isProjectNode(await nodeVersion())) return;
  say('Fetching the Node version of the project.');
  execute(['npm', 'rebuild', 'node', '--loglevel=error']);
  const version = await nodeVersion();
  if (isProjectNode(version)) return;
  throw new NotReady(
    `The project's own Node (node_modules/.bin/node) ${version === undefined ? 'is missing' : `is ${version}`}; it must be 24.\n` +
      'npm has to run the install script of the package `node`. Type this, then try again:\n\n  npm rebuild node --ignore-scripts=false\n',
  );
}

function nodeVersion() {
  return output(NODE, ['--version']);
}

function isProjectNode(version) {
  return version?.startsWith('v24.') === true;
}

// --- dashboard

/** Whether `dashboard/dist` is there, and newer than what it is made of. */
function dashboardIsBuilt() {
  const built = timeOf('dashboard/dist/index.html');
  const sources = readdirSync(join(ROOT, 'dashboard'), { recursive: true }).filter((file) => !/^dist\b/.test(file));
  return sources.every((file) => timeOf(join('dashboard', file)) < built);
}

function buildDashboard() {
  if (!execute([NODE, join(ROOT, 'scripts', 'build-dashboard.ts')])) {
    throw new NotReady('The dashboard could not be built; see above.');
  }
}

/** When a file was changed last; 0 when it is not there. */
function timeOf(path) {
  return statSync(join(ROOT, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

// --- test runner

/** tap is compiled for a set of plugins, which is listed in it; `.taprc` adds plugins, or removes them with a `!`. */
function tapIsBuilt() {
  const built = readText('node_modules/@tapjs/test/test-built/dist/esm/index.js') ?? '';
  const plugins = /^export const signature = `([^`]*)`/m.exec(built)?.[1]?.split('\n') ?? [];
  const changes = readText('.taprc')?.match(/(?<=^\s*-\s*["']?)!?@[\w-]+\/[\w-]+/gm) ?? [];
  return (
    plugins.length > 0 && changes.every((name) => plugins.includes(name.replace('!', '')) !== name.startsWith('!'))
  );
}

function buildTap() {
  say('Preparing the test runner.');
  if (!execute([NODE, join(BIN, 'tap'), 'build'])) throw new NotReady('`tap build` failed; see above.');
}

// --- running the program

function run([script, ...args]) {
  const command = [NODE, resolve(ROOT, script), ...args];
  // What was compiled once, and its types stripped, need not be again: half of a start.
  process.env.NODE_COMPILE_CACHE ??= join(ROOT, 'node_modules', '.cache', 'pullwright');
  // Takes this process over, where Node can: signals and the exit code then need no messenger.
  if (typeof process.execve === 'function') process.execve(NODE, command, process.env);

  const child = spawn(NODE, command.slice(1), { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal sends Ctrl+C to the child as well.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    console.error(`${NODE} could not be started: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => process.exit(code ?? 128 + os.signals[signal]));
}

// --- small things

function say(text) {
  console.error(text);
}

/** Runs a command in the checkout with this terminal; true when it succeeded. */
function execute([command, ...args]) {
  // npm replaces the folder that the Node of the project is in, so it must not run with it.
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => resolve(folder) !== BIN);
  const env = { ...process.env, PATH: path.join(delimiter) };
  const { error, status } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', env });
  if (error !== undefined) say(`${command} could not be started: ${error.message}`);
  return status === 0;
}

/** What a command prints, or undefined when it is missing or fails. */
function output(command, args) {
  return new Promise((done) => {
    execFile(command, args, { timeout: 30_000 }, (error, stdout) => done(error === null ? stdout.trim() : undefined));
  });
}

function readText(path) {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}

function isOnPath(command) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return folder !== '';
    } catch {
      return false;
    }
  });
}

function isAtLeast(version, [major, minor]) {
  const [haveMajor, haveMinor] = version.split('.').map(Number);
  return haveMajor > major || (haveMajor === major && haveMinor >= minor);
}

function isRoot() {
  return process.getuid?.() === 0;
}
