import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import type { Config } from '../../config/load-config.ts';
import { diskSpace } from '../../files/disk-space.ts';
import { lowLimits } from '../../sandbox/resource-limits.ts';
import { createSandbox } from '../../sandbox/sandbox.ts';
import { checkStore, rejectUnfinishedRestore, STORE_FILE, STORE_IN_USE } from '../../store/store-file.ts';
import { type Check, type CheckContext, type Finding, fail, ok, warn } from './check.ts';

const GIB = 1024 ** 3;

/** Checks this machine: folders, disk, store, sandbox and port. */
export function machineChecks({ config, env }: CheckContext): Check[] {
  const { DATA_DIR, TICKETS_ROOT, HOST, PORT } = config;
  return [
    { name: 'data folder', run: () => folder(DATA_DIR) },
    { name: 'tickets folder', run: () => folder(TICKETS_ROOT) },
    {
      name: 'store',
      async run() {
        if (!existsSync(join(DATA_DIR, STORE_FILE))) return ok('not created yet');
        rejectUnfinishedRestore(DATA_DIR);
        const fault = checkStore(DATA_DIR);
        if (fault === STORE_IN_USE) return ok(fault);
        return fault === undefined ? ok('intact') : fail(fault, 'pullwright restore, with the last backup');
      },
    },
    {
      name: 'sandbox',
      async run() {
        const sandbox = createSandbox({ config, parentEnv: env });
        if (sandbox.kind === 'none') return warn('SANDBOX=none: agents run without isolation.', 'Set SANDBOX=auto.');
        const selfTest = await sandbox.check();
        if (!selfTest.ok) return fail(selfTest.detail, selfTest.remedy);
        const [low] = lowLimits();
        return low === undefined ? ok('self-test passed') : warn(low.detail, low.remedy);
      },
    },
    { name: 'sandbox limits', run: () => sandboxLimits(config) },
    { name: 'port', run: () => port(HOST, PORT) },
  ];
}

async function sandboxLimits(config: Config): Promise<Finding> {
  if (config.SANDBOX === 'none') return warn('SANDBOX=none: agents run without limits.', 'Set SANDBOX=auto.');
  const limits = await createSandbox({ config }).checkLimits();
  const memory = `${config.SANDBOX_MEMORY_MB} MiB of memory`;
  if (limits.ok) return ok(`cgroup v${limits.version}: ${memory} for each sandbox as a whole`);
  // A server that systemd or Docker starts has another cgroup than this command.
  return warn(
    `${memory} for each process, not for a sandbox as a whole, if the server starts like this command: ${limits.detail}.`,
    limits.remedy,
  );
}

async function folder(path: string): Promise<Finding> {
  // The server creates the folder; this check changes nothing.
  const existing = nearestExisting(path);
  const isFolder = (await stat(existing)).isDirectory();
  if (!isFolder) return fail(`${existing} is not a folder.`, 'Set another folder.');
  try {
    await access(existing, constants.W_OK);
  } catch {
    return fail(`${existing} is not writable.`, `chown -R "$USER" ${existing}`);
  }
  const { free } = await diskSpace(existing);
  const detail = `${path}, ${(free / GIB).toFixed(1)} GiB free`;
  return free < GIB ? warn(detail, 'Free space on this disk.') : ok(detail);
}

/** Returns the path, or its nearest ancestor that exists. */
function nearestExisting(path: string): string {
  return existsSync(path) ? path : nearestExisting(dirname(path));
}

async function port(host: string, number: number): Promise<Finding> {
  const server = createServer();
  try {
    server.listen(number, host);
    await once(server, 'listening');
    return ok(`${number} is free`);
  } catch (error) {
    const isOurs = await fetch(`http://127.0.0.1:${number}/livez`).then(
      (response) => response.ok,
      () => false,
    );
    if (isOurs) return ok(`a server answers at ${number}`);
    return fail(
      `Port ${number} is not available: ${error instanceof Error ? error.message : error}.`,
      'Set PORT to another port.',
    );
  } finally {
    server.close();
  }
}
