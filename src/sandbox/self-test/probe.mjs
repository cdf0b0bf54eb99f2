// Runs in a sandbox and reports, as JSON, what it can see and do; see self-test.ts.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';

const [workspace, port, ...outside] = process.argv.slice(2);

function canWrite(path) {
  try {
    writeFileSync(path, '');
    return true;
  } catch {
    return false;
  }
}

/** Opens a file without writing, because the kernel checks permissions in open(2). */
function canOpen(path, flags) {
  try {
    closeSync(openSync(path, flags));
    return true;
  } catch {
    return false;
  }
}

function canSetUserId(path) {
  try {
    writeFileSync(path, '');
    chmodSync(path, 0o4700);
    return true;
  } catch {
    return false;
  }
}

function canConnect(host) {
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });
}

/** Reads `environ` or `cmdline` of all visible processes. */
function startedWith(file) {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0').filter(Boolean);
    } catch {
      return [];
    }
  });
}

/** The first belongs to this process. If it is writable, only their owner protects the others. */
const KERNEL_SETTINGS = ['/proc/self/comm', '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger'];
const KERNEL_FACTS = ['/proc/keys', '/proc/key-users', '/proc/kallsyms', '/proc/kcore', '/proc/kmsg'];

const status = readFileSync('/proc/self/status', 'utf8');
const limits = readFileSync('/proc/self/limits', 'utf8');

process.stdout.write(
  JSON.stringify({
    writesWorkspace: canWrite(`${workspace}/written`),
    writesGit: canWrite(`${workspace}/.git`),
    seesOutside: outside.some((path) => existsSync(path)),
    variables: startedWith('environ'),
    arguments: startedWith('cmdline'),
    processes: readlinkSync('/proc/self/ns/pid'),
    capabilities: [...status.matchAll(/^Cap\w+:\s*(\w+)$/gm)].map(([, mask]) => mask),
    writesKernel: KERNEL_SETTINGS.filter((path) => canOpen(path, constants.O_WRONLY)),
    readsKernel: KERNEL_FACTS.filter((path) => canOpen(path, constants.O_RDONLY)),
    filtersCalls: /^Seccomp:\s*2$/m.test(status),
    setsUserId: canSetUserId('/tmp/set-id'),
    makesUserNamespace: spawnSync('unshare', ['--user', 'true']).status === 0,
    interfaces: Object.keys(networkInterfaces()),
    reachesHost: await canConnect('127.0.0.1'),
    fileSizeLimit: /^Max file size\s+(\S+)/m.exec(limits)?.[1],
  }),
);
process.exit();
