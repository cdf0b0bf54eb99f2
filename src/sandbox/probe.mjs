// Runs inside a sandbox and says what it can see and do there, as JSON; see self-test.ts.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
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

function canConnect(host) {
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });
}

/** What all processes in sight were started with. */
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
    makesUserNamespace: spawnSync('unshare', ['--user', 'true']).status === 0,
    interfaces: Object.keys(networkInterfaces()),
    reachesHost: await canConnect('127.0.0.1'),
    fileSizeLimit: /^Max file size\s+(\S+)/m.exec(limits)?.[1],
  }),
);
process.exit();
