// Sets up a checkout, and optionally runs one of its programs. Plain JavaScript without packages for Node 18 or newer,
// because it runs before the packages and the project's own Node are installed.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs';
import { constants as os } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const USAGE = `Usage: node scripts/setup.mjs [--check] [--test] [-- SCRIPT ARGUMENT...]

Installs the npm packages and the programs git, gh and bubblewrap where they are missing, and builds the dashboard.
  --check    installs nothing; prints what is missing and how to install it
  --test     also prepares the tests
  -- SCRIPT  then runs a TypeScript file of the project with the project's own Node`;

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BIN = join(ROOT, 'node_modules', '.bin');
const NODE = join(BIN, 'node');

/** Programs that the server or the tests call, with their minimum versions. */
const PROGRAMS = [
  { name: 'git', title: 'git', minVersion: [2, 38], help: 'https://git-scm.com/downloads' },
  { name: 'gh', title: 'the GitHub CLI, gh', minVersion: [2, 20], help: 'https://cli.github.com' },
  { name: 'bwrap', title: 'bubblewrap', minVersion: [0, 8], help: 'https://github.com/containers/bubblewrap' },
  {
    name: 'curl',
    title: 'curl, for the tests',
    minVersion: [7, 0],
    tests: true,
    help: 'https://curl.se/download.html',
  },
  {
    name: 'chromium',
    title: 'Chromium, for the tests of the dashboard',
    minVersion: [120, 0],
    tests: true,
    help: 'https://www.chromium.org/getting-involved/download-chromium/',
  },
  {
    name: 'strace',
    title: 'strace, for the tests that trace the server',
    // For --seccomp-bpf and --pidns-translation.
    minVersion: [5, 9],
    tests: true,
    help: 'https://strace.io',
  },
];

/** Package managers in order of preference, with the package names that differ from the program names. */
const PACKAGE_MANAGERS = [
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
    manual: ['apt-get', 'install', '-y'],
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

/** A reason why the checkout is not ready, as a message for the user. */
class NotReady extends Error {}

try {
  const { install, tests, script } = readArguments(process.argv.slice(2));
  await setUp(install, tests);
  if (script === undefined) print(install ? 'Setup is complete.' : 'Setup is complete; nothing is missing.');
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
  const [missing, node] = await Promise.all([missingPrograms(tests), nodeVersion()]);
  const packages = packagesAreCurrent();
  if (!install) {
    if (missing.length > 0) throw new NotReady(programsToInstall(missing));
    if (!packages || !isProjectNode(node)) throw new NotReady('This checkout is not set up. Run: npm run setup');
  }
  if (missing.length > 0) await installPrograms(missing, tests);
  if (!packages) installPackages();
  if (!packages || !isProjectNode(node)) await ensureNode();
  if (install && process.platform === 'darwin' && !sandboxIsOff()) {
    print('macOS has no bubblewrap. Agents run only with SANDBOX=none: without isolation, for development.');
  }
  if (install && !dashboardIsBuilt()) buildDashboard();
  if (tests && !testRunnerIsBuilt()) buildTestRunner();
}

// --- system programs

async function missingPrograms(tests) {
  const needed = PROGRAMS.filter(
    (program) =>
      (program.name !== 'bwrap' || (process.platform === 'linux' && !sandboxIsOff())) && (tests || !program.tests),
  );
  const versions = await Promise.all(needed.map(({ name }) => output(name, ['--version'])));
  return needed
    .map((program, index) => ({ ...program, version: /\d+\.\d+(\.\d+)?/.exec(versions[index] ?? '')?.[0] }))
    .filter(({ version, minVersion }) => version === undefined || !isAtLeast(version, minVersion));
}

async function installPrograms(missing, tests) {
  const manager = PACKAGE_MANAGERS.find(({ name }) => isOnPath(name));
  const prefix = manager === undefined ? undefined : privilegePrefix(manager);
  if (manager === undefined || prefix === undefined) throw new NotReady(programsToInstall(missing));

  const wanted = packageNames(manager, missing);
  print(`${describe(missing)}\nInstalling with ${manager.name}: ${wanted.join(' ')}`);
  const install = () => execute([...prefix, ...manager.install, ...wanted]);
  const refresh = () => manager.refresh !== undefined && execute([...prefix, ...manager.refresh]);
  if (needsRefresh(manager)) refresh();
  // Outdated package lists refer to files that no longer exist.
  if (!install() && refresh()) install();

  const stillMissing = await missingPrograms(tests);
  if (stillMissing.length === 0) return;
  const links = stillMissing.map(({ title, help }) => `  ${title}: ${help}`);
  throw new NotReady(
    `${describe(stillMissing)}\n${manager.name} did not install it. Install it from the link, then try again:\n${links.join('\n')}`,
  );
}

function programsToInstall(missing) {
  const manager = PACKAGE_MANAGERS.find(({ name }) => isOnPath(name));
  if (manager === undefined) {
    const links = missing.map(({ title, help }) => `  ${title}: ${help}`);
    return `${describe(missing)}\nInstall, then try again:\n${links.join('\n')}`;
  }
  const steps = [[...(manager.manual ?? manager.install), ...packageNames(manager, missing)]];
  if (needsRefresh(manager)) steps.unshift(manager.refresh);
  return `${describe(missing)}\nRun this, then try again:\n\n  ${shellCommand(manager, steps)}\n`;
}

function shellCommand(manager, steps) {
  const commands = steps.map((step) => step.join(' '));
  if (manager.withoutRoot || isRoot()) return commands.join(' && ');
  if (isOnPath('sudo')) return commands.map((command) => `sudo ${command}`).join(' && ');
  return `su -c '${commands.join(' && ')}'`;
}

/** Returns the prefix of an install command: none for root and brew, sudo when it needs no password, else undefined. */
function privilegePrefix(manager) {
  if (manager.withoutRoot || isRoot()) return [];
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? ['sudo', '-n'] : undefined;
}

/** Debian images contain no package lists. */
function needsRefresh(manager) {
  if (manager.name !== 'apt-get') return false;
  try {
    return !readdirSync('/var/lib/apt/lists').some((file) => file.includes('_Packages'));
  } catch {
    return true;
  }
}

function describe(missing) {
  return missing
    .map(({ title, version, minVersion }) =>
      version === undefined
        ? `Missing: ${title} (${minVersion.join('.')} or newer).`
        : `Too old: ${title} ${version}; ${minVersion.join('.')} or newer is required.`,
    )
    .join('\n');
}

function packageNames(manager, programs) {
  return programs.map(({ name }) => manager.packages[name] ?? name);
}

/** Returns whether the environment or `.env` turns the sandbox off. */
function sandboxIsOff() {
  return (process.env.SANDBOX ?? /^SANDBOX=["']?(\w+)/m.exec(readText('.env') ?? '')?.[1]) === 'none';
}

// --- npm packages

/** Compares npm's record of its last complete installation with the lock file. */
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
  print('Installing the npm packages; this takes about a minute.');
  // An older Node makes npm warn about packages that need a newer one; the project brings its own.
  if (!execute(['npm', 'ci', '--loglevel=error', '--no-update-notifier']))
    throw new NotReady('npm could not install the packages; see above.');
}

async function ensureNode() {
  if (isProjectNode(await nodeVersion())) return;
  print("Downloading the project's own Node.");
  execute(['npm', 'rebuild', 'node', '--loglevel=error']);
  const version = await nodeVersion();
  if (isProjectNode(version)) return;
  throw new NotReady(
    `The project's own Node (node_modules/.bin/node) ${version === undefined ? 'is missing' : `is ${version}`}; it must be 24.\n` +
      'npm has to run the install script of the package `node`. Run this, then try again:\n\n  npm rebuild node --ignore-scripts=false\n',
  );
}

function nodeVersion() {
  return output(NODE, ['--version']);
}

function isProjectNode(version) {
  return version?.startsWith('v24.') === true;
}

// --- dashboard

/** Returns whether `dashboard/dist` exists and is newer than its sources. */
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

/** Returns the modification time of a file; 0 when it is missing. */
function timeOf(path) {
  return statSync(join(ROOT, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

// --- test runner

/** Compares the plugins that tap was compiled for with `.taprc`, which adds plugins, or removes them with a `!`. */
function testRunnerIsBuilt() {
  const built = readText('node_modules/@tapjs/test/test-built/dist/esm/index.js') ?? '';
  const plugins = /^export const signature = `([^`]*)`/m.exec(built)?.[1]?.split('\n') ?? [];
  const changes = readText('.taprc')?.match(/(?<=^\s*-\s*["']?)!?@[\w-]+\/[\w-]+/gm) ?? [];
  return (
    plugins.length > 0 && changes.every((name) => plugins.includes(name.replace('!', '')) !== name.startsWith('!'))
  );
}

function buildTestRunner() {
  print('Preparing the test runner.');
  if (!execute([NODE, join(BIN, 'tap'), 'build'])) throw new NotReady('`tap build` failed; see above.');
}

// --- running the program

function run([script, ...args]) {
  const command = [NODE, resolve(ROOT, script), ...args];
  // Cached compilation and type stripping save half of the start time.
  process.env.NODE_COMPILE_CACHE ??= join(ROOT, 'node_modules', '.cache', 'pullwright');
  // Replaces this process where Node can, so that signals and the exit code need no forwarding.
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

// --- helpers

function print(text) {
  console.error(text);
}

/** Runs a command in the checkout, in this terminal. Returns whether it succeeded. */
function execute([command, ...args]) {
  // npm replaces the folder of the project's own Node, so it must not run on that Node.
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => resolve(folder) !== BIN);
  const env = { ...process.env, PATH: path.join(delimiter) };
  const { error, status } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', env });
  if (error !== undefined) print(`${command} could not be started: ${error.message}`);
  return status === 0;
}

/** Returns the output of a command, or undefined when it is missing or fails. */
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
  const [actualMajor, actualMinor] = version.split('.').map(Number);
  return actualMajor > major || (actualMajor === major && actualMinor >= minor);
}

function isRoot() {
  return process.getuid?.() === 0;
}
