import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import type { Config } from '../../config/load-config.ts';
import { diskSpace } from '../../files/disk-space.ts';
import { lowLimits } from '../../sandbox/resource-limits.ts';
import { createSandbox } from '../../sandbox/sandbox.ts';
import { checkStore, refuseUnfinished, STORE_FILE, STORE_IN_USE } from '../../store/store-file.ts';
import { type Check, type CheckContext, type Finding, fail, ok, warn } from './check.ts';

const GIB = 1024 ** 3;

/** What the server needs of this machine: folders, disk, walls, a port, and a store that is whole. */
export function machineChecks({ config, env }: CheckContext): Check[] {
  const { DATA_DIR, TICKETS_ROOT, HOST, PORT } = config;
  return [
    { name: 'data folder', run: () => folder(DATA_DIR) },
    { name: 'tickets folder', run: () => folder(TICKETS_ROOT) },
    {
      name: 'store',
      async run() {
        if (!existsSync(join(DATA_DIR, STORE_FILE))) return ok('there is none yet');
        refuseUnfinished(DATA_DIR);
        const fault = checkStore(DATA_DIR);
        if (fault === STORE_IN_USE) return ok(fault);
        return fault === undefined ? ok('whole') : fail(fault, 'pullwright restore, with the last backup');
      },
    },
    {
      name: 'sandbox',
      async run() {
        const sandbox = createSandbox({ config, parentEnv: env });
        if (sandbox.kind === 'none') return warn('SANDBOX=none: agents run without walls.', 'Set SANDBOX=auto.');
        const walls = await sandbox.check();
        if (!walls.ok) return fail(walls.detail, walls.remedy);
        const [low] = lowLimits();
        return low === undefined ? ok('its walls hold') : warn(low.detail, low.remedy);
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
  // A server started another way, by systemd for one, has another cgroup than this command.
  return warn(
    `${memory} for each process, not for a sandbox as a whole, when the server starts as this command did: ${limits.detail}.`,
    limits.remedy,
  );
}

async function folder(path: string): Promise<Finding> {
  // The server makes it, and what is looked at only is left as it is.
  const there = nearestExisting(path);
  const isFolder = (await stat(there)).isDirectory();
  if (!isFolder) return fail(`${there} is no folder.`, 'Name another one.');
  try {
    await access(there, constants.W_OK);
  } catch {
    return fail(`${there} cannot be written.`, `chown -R "$USER" ${there}`);
  }
  const { free } = await diskSpace(there);
  const left = `${path}, ${(free / GIB).toFixed(1)} GiB free`;
  return free < GIB ? warn(left, 'Make room on this disk.') : ok(left);
}

/** The folder itself, or the first above it that exists. */
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
      `${number} cannot be used: ${error instanceof Error ? error.message : error}.`,
      'Set PORT to another one.',
    );
  } finally {
    server.close();
  }
}
