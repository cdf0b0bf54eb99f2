import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createTicket } from './actions.ts';
import { pause, type Stage } from './stage.ts';

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const run = promisify(execFile);

/**
 * Takes a backup during an action, deletes the server and its folders, and restores the backup. Everything acknowledged
 * before the backup must still exist. Sometimes the server is killed during the backup.
 */
export async function loseAllButBackup(stage: Stage): Promise<void> {
  const { world, ledger, random, violations } = stage;
  const before = ledger.snapshot();
  const file = world.path(`backup-${randomUUID()}.tar.gz`);
  const taking = pullwright(stage, 'backup', file).then(
    () => undefined,
    (error) => String(error),
  );
  if (random.chance(0.25)) {
    await pause(random.below(400));
    await world.server.stop('SIGKILL');
    if ((await taking) !== undefined && existsSync(file)) violations.push('a failed backup left its file');
    return;
  }
  const problem = await taking;
  if (problem !== undefined) {
    violations.push(`the backup failed: ${problem}`);
    return;
  }
  await world.server.stop('SIGKILL');
  const orphans = await world.orphans();
  violations.push(...orphans.map((orphan) => `a process outlived its server: ${orphan}`));
  for (const folder of ['data', 'tickets']) await rm(world.path(folder), { recursive: true });
  await pullwright(stage, 'restore', file);
  await rm(file);

  ledger.restore(before);
  stage.restores += 1;
  await world.start();
  // The next request for a ticket restores the files of its workspace.
  for (const [ticketId, { created }] of ledger.tickets) if (created) await createTicket({ ...stage, ticketId });
}

async function pullwright({ world }: Stage, ...args: string[]): Promise<void> {
  const env = { PATH: process.env.PATH, ...world.env, PULLWRIGHT_URL: world.server.url };
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  await run('env', ['-i', ...settings, process.execPath, CLI, ...args], { cwd: world.dir });
}
