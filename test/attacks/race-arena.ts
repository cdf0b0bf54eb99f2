import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { call, events, run } from '../helpers/client.ts';
import { makeWorld, type Owner, REPO } from '../helpers/server.ts';
import { chownTo, type ServerUser, startServerAs } from '../helpers/users.ts';
import { withoutDefences } from './client-arena.ts';
import { type RaceArena, swapCommand } from './race-attacks.ts';
import type { Edit } from './remove-defences.ts';

/** A mark in every text, and in a file name, outside the sandbox. */
const CANARY = 'canary-of-the-race';
const READERS = 6;
const SETTINGS = { SANDBOX: 'bubblewrap', RUN_MAX_ATTEMPTS: '1', RATE_LIMIT_PER_MINUTE: '100000' };
const execute = promisify(execFile);

/** Runs the server's own programs unconfined. Agents stay in their sandboxes. */
export const UNCONFINED: Edit = {
  file: 'src/sandbox/confined/confine.ts',
  from: "if (config.SANDBOX === 'none') {",
  to: "if (config.SANDBOX !== 'none') {",
};

/** Starts a server of a user with a ticket whose agent swaps, another ticket, and secrets outside the sandbox. */
export async function startRaceArena(t: Owner, user: ServerUser, edits: readonly Edit[] = []) {
  const world = await makeWorld(t);
  const { dir, gemini } = world;
  const { env, nodeArgs } = withoutDefences({ edits: [...edits] });
  const outside = join(dir, 'outside');
  await mkdir(outside);
  await writeSecret(outside);
  chownTo(user, outside);
  const server = await startServerAs(t, world, user, { ...SETTINGS, ...env }, nodeArgs);
  const other = join(dir, 'tickets/O-1');
  for (const ticket_id of ['O-1', 'R-1']) await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
  await writeSecret(other);
  const targets = {
    files: [`${outside}/secret.txt`, `${other}/secret.txt`, '../../O-1/secret.txt'],
    folders: [outside, other, '../../O-1'],
  };
  gemini.on(/Action: make_plan/, [{ text: '# Goal\n\nDo it.' }]);
  await run(server, 'R-1', { action: 'make_plan' });
  const before = await secrets();
  let runId = '';
  let runs = 0;

  async function writeSecret(folder: string): Promise<void> {
    await writeFile(join(folder, 'secret.txt'), `${CANARY}\n`);
    await writeFile(join(folder, `${CANARY}.txt`), 'the name is the secret\n');
  }

  /** Returns the present state outside the sandbox. */
  async function secrets(): Promise<string> {
    const found = [outside, other].map(async (folder) => [
      (await readdir(folder)).sort(),
      await readFile(join(folder, 'secret.txt'), 'utf8').catch(() => 'missing'),
    ]);
    return JSON.stringify(await Promise.all(found));
  }

  const all = async (answers: readonly Promise<{ body: unknown }>[]) =>
    JSON.stringify((await Promise.all(answers)).map(({ body }) => body));
  const eventsOfRun = async () => JSON.stringify(await events(server, runId));

  const arena: RaceArena = {
    async swap(swapped) {
      runs += 1;
      const message = `Race number ${runs}.`;
      const command = swapCommand(swapped, targets[swapped], 'x'.repeat(CANARY.length));
      const calls = [{ name: 'run_shell_command', args: { command } }];
      gemini.on(message, [{ calls }, { hang: true }, { text: 'Done.' }]);
      const started = await call(server, 'POST', '/v1/tickets/R-1/runs', { action: 'dev', message });
      runId = started.body.run_id;
      await gemini.waitFor(({ prompt, state }) => prompt.includes(message) && state === 'held');
      return message;
    },
    diff: () =>
      all(
        Array.from({ length: READERS }, (_, index) =>
          call(server, 'GET', '/v1/tickets/R-1/diff', undefined, index % 2 === 0 ? {} : { accept: 'text/x-diff' }),
        ),
      ),
    async backup() {
      const take = () => fetch(new URL('/v1/backup', server.url), { method: 'POST' });
      let response = await take();
      // The server is still deleting the staged files of the backup before.
      while (response.status === 409) response = await take();
      if (response.status !== 200) throw new Error(`the backup failed: ${await response.text()}`);
      const folder = await mkdtemp(join(dir, 'backup-'));
      try {
        await writeFile(`${folder}.tar.gz`, Buffer.from(await response.arrayBuffer()));
        await execute('tar', ['-xzf', `${folder}.tar.gz`, '-C', folder]);
        // The git directory of the other ticket holds its secret legitimately.
        await rm(join(folder, 'gitdirs/O-1.git'), { recursive: true });
        const { stdout: files } = await execute('grep', ['-rlaF', CANARY, folder]).catch(({ stdout }) => ({ stdout }));
        return files + (await objectsOf(join(folder, 'gitdirs/R-1.git')));
      } finally {
        await rm(folder, { recursive: true });
        await rm(`${folder}.tar.gz`);
      }
    },
    sync: () => all([call(server, 'POST', '/v1/tickets/R-1/sync')]),
    housekeeping: () => all([call(server, 'POST', '/v1/housekeeping'), call(server, 'GET', '/v1/tickets/R-1')]),
    async finish() {
      gemini.release();
      const seen = await eventsOfRun();
      return seen + (await objectsOf(join(dir, 'gh/acme/duration.git')));
    },
    async load() {
      const loaded = await run(server, 'R-1', { action: 'chat', message: 'Continue.' });
      return JSON.stringify([loaded, gemini.requests.at(-1)?.body]);
    },
    async cancel() {
      await call(server, 'POST', `/v1/runs/${runId}/cancel`);
      return eventsOfRun();
    },
    async remove() {
      await arena.swap('files');
      const removed = all([call(server, 'DELETE', '/v1/tickets/R-1?force=true')]);
      return (await removed) + (await arena.housekeeping());
    },
  };

  return {
    arena,
    /** Returns whether an attempt did harm. */
    isHarm: async (output: string) => output.includes(CANARY) || (await secrets()) !== before,
  };
}

/** Returns the content of all objects of a repository, reachable or not. */
async function objectsOf(gitDir: string): Promise<string> {
  const args = ['--git-dir', gitDir, 'cat-file', '--batch-all-objects', '--batch'];
  const { stdout } = await execute('git', args, { maxBuffer: 2 ** 28, encoding: 'latin1' });
  return stdout;
}
