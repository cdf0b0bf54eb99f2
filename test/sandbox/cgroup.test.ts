import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { LIMITS, makeFolders, makeSandbox } from './fixtures.ts';
import { allGone, descendants } from './process-tree.ts';

const FORK_BOMB = fileURLToPath(new URL('fork-bomb.ts', import.meta.url));
const SERVER = fileURLToPath(new URL('server.ts', import.meta.url));
const SANDBOX = new URL('../../src/sandbox/sandbox.ts', import.meta.url).href;

/** Allocates 160 MiB in each of two processes, and exits when both have done it. */
const HOG = `
  const { fork } = require('node:child_process');
  if (process.send) {
    globalThis.held = Buffer.alloc(160 << 20, 1);
    process.send('held');
  } else {
    const children = [1, 2].map(() => fork('/tmp/hog.js'));
    Promise.all(children.map((child) => new Promise((resolve) => child.once('message', resolve)))).then(() => {
      console.log('both hold');
      process.exit();
    });
  }`;
const RUN_HOG = `cat > /tmp/hog.js << 'END'\n${HOG}\nEND\nnode /tmp/hog.js`;

/** Returns the folders below /sys/fs/cgroup of the cgroup of a process. */
function cgroupOf(pid: number): string[] {
  const [name = ''] = /pullwright-[\w-]+$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8')) ?? [];
  const below = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => (entry.name === name ? [join(folder, name)] : below(join(folder, entry.name))));
  return name === '' ? [] : below('/sys/fs/cgroup');
}

/** Reads a file of a cgroup from the first folder that has it. */
function limit(folders: readonly string[], file: string): string | undefined {
  const folder = folders.find((path) => existsSync(join(path, file)));
  return folder && readFileSync(join(folder, file), 'utf8').trim();
}

/** Starts a server with a sandbox, and returns the folders of its cgroup. */
async function startServer(t: Test) {
  const { DATA_DIR, TICKETS_ROOT, workspace } = await makeFolders(t);
  const server = spawn(process.execPath, [SERVER, DATA_DIR, TICKETS_ROOT, workspace], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => server.kill('SIGKILL'));
  await once(server.stdout, 'data');
  const tree = descendants(server.pid ?? 0);
  return { server, tree, folders: cgroupOf(tree[0] ?? 0) };
}

/** Returns why this machine cannot create cgroups, or false when it can. */
async function cgroupSkipReason(): Promise<string | false> {
  const { sandbox } = makeSandbox({ DATA_DIR: '', TICKETS_ROOT: '', workspace: '' }, 'auto');
  const limits = await sandbox.checkLimits();
  return limits.ok ? false : limits.detail;
}

const skip = await cgroupSkipReason();

t.test('a cgroup limits memory, processes and CPUs while the sandbox runs', { skip }, async (t) => {
  const folders = await makeFolders(t);
  const settings = { SANDBOX_MEMORY_MB: 300, SANDBOX_CPUS: 2 };
  const { sandbox } = makeSandbox(folders, 'auto', settings);
  const argv = ['sh', '-c', 'cat /proc/self/cgroup; ulimit -d; echo end; read line'] as const;
  const child = await sandbox.spawn({ argv, workspace: folders.workspace, writable: true });
  const seen: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'end') break;
    seen.push(line);
  }
  const group = cgroupOf(child.pid);
  t.ok(group.length > 0);
  for (const pid of descendants(child.pid)) t.same(cgroupOf(pid), group, 'every process is in the cgroup');
  t.equal(limit(group, 'memory.max') ?? limit(group, 'memory.limit_in_bytes'), String(300 * 1024 * 1024));
  t.equal(limit(group, 'pids.max'), '1024');
  t.match(limit(group, 'cpu.max') ?? limit(group, 'cpu.cfs_quota_us'), /^200000( 100000)?$/);
  t.equal(seen.pop(), 'unlimited', 'no process has a data limit');
  t.notMatch(seen.join(), 'pullwright', 'the sandbox does not see its cgroup');
  await child.kill();
  t.notOk(group.some((path) => existsSync(path)));
});

t.test('the kernel kills the whole sandbox when its processes together exceed its memory', { skip }, async (t) => {
  const folders = await makeFolders(t);
  const { sandbox, sh } = makeSandbox(folders, 'auto', { SANDBOX_MEMORY_MB: 256 });
  const neighbour = await sandbox.spawn({
    argv: ['sh', '-c', 'read line; echo "$line"'],
    workspace: folders.workspace,
    writable: false,
  });
  const hog = await sh(RUN_HOG);
  t.match(hog, { code: null, outOfMemory: true, timedOut: false });
  t.match(hog.output, /\nThe sandbox ran out of memory: .* 256 MiB \(SANDBOX_MEMORY_MB\)\.\n$/);
  t.notMatch(hog.output, 'both hold');
  neighbour.stdin.end('still here\n');
  t.equal(String(await once(neighbour.stdout, 'data')), 'still here\n', 'another sandbox continues');
  t.same(await neighbour.exited, { code: 0, signal: null });
  await neighbour.kill();

  const enough = makeSandbox(folders, 'auto', { SANDBOX_MEMORY_MB: 1024 });
  t.match(await enough.sh(RUN_HOG), { code: 0, outOfMemory: false, output: 'both hold\n' });
});

t.test('a sandbox stops a fork bomb when the server is root', { skip }, async (t) => {
  const { root } = await makeFolders(t);
  const output = execFileSync('env', ['-i', `PATH=${process.env.PATH}`, process.execPath, FORK_BOMB, root]);
  t.match(JSON.parse(output.toString()), { output: /Cannot fork/, code: 2 });
});

t.test('the next server removes only the cgroups of a killed server', { skip }, async (t) => {
  const killed = await startServer(t);
  const running = await startServer(t);
  t.ok(killed.folders.length > 0 && running.folders.length > 0);
  killed.server.kill('SIGKILL');
  await allGone(killed.tree);
  t.ok(killed.folders.every((path) => existsSync(path)));

  await removedByNext(t, killed.folders);
  t.ok(running.folders.every((path) => existsSync(path)));
  running.server.kill('SIGKILL');
  await allGone(running.tree);
  await removedByNext(t, running.folders);
});

/** Starts servers until none of the folders exists: the kernel may keep a cgroup for a while after its last process. */
async function removedByNext(t: Test, folders: readonly string[]): Promise<void> {
  do {
    t.match(await makeSandbox(await makeFolders(t), 'auto').sandbox.checkLimits(), { ok: true });
  } while (folders.some((path) => existsSync(path)));
}

t.test('a server limits each process when it cannot create cgroups', { skip: process.getuid?.() !== 0 }, async (t) => {
  const folders = await makeFolders(t);
  execFileSync('chown', ['-R', '12345:12345', folders.root]);
  const script = `
    import { createSandbox } from ${JSON.stringify(SANDBOX)};
    const sandbox = createSandbox({ config: ${JSON.stringify({ SANDBOX: 'auto', ...LIMITS, ...folders })} });
    const run = { workspace: ${JSON.stringify(folders.workspace)}, writable: true, timeoutMs: 60000, maxOutputBytes: 9999 };
    const argv = ['sh', '-c', 'ulimit -d'];
    console.log(JSON.stringify([await sandbox.checkLimits(), await sandbox.run({ argv, ...run })]));`;
  const output = execFileSync('setpriv', [
    ...['--reuid=12345', '--regid=12345', '--clear-groups', 'env', '-i', process.execPath],
    ...['--input-type=module', '-e', script],
  ]);
  t.match(JSON.parse(output.toString()), [
    { ok: false, detail: /^no cgroup limits a sandbox as a whole: \S/, remedy: /Delegate=yes/ },
    { code: 0, output: `${4 * 1024 * 1024}\n` },
  ]);
});
