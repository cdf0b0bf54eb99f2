import { execFile } from 'node:child_process';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { call } from '../clients.ts';
import { repositoryOf } from '../repositories.ts';
import type { Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const run = promisify(execFile);
const READERS = 12;
const CHANGED = 20;

/** Measures the cost of confining git in a request of a person, and how concurrent readers share the work. */
export const getDiff: Row = {
  name: 'get-diff',
  title: '`GET /v1/tickets/{id}/diff`',
  async measure(lab) {
    const { github, env } = await lab.standIns();
    await github.addRepository('bench/history', { bare: await repositoryOf('history') });
    const settings = lab.settings();
    const server = await lab.server({ ...settings, ...env });
    const ticket = { ticket_id: 'D-1', repo_url: 'https://github.com/bench/history' };
    await call(server.url, 'POST', '/v1/tickets', ticket);
    const workTree = join(settings.TICKETS_ROOT ?? '', 'D-1');
    const gitDir = join(settings.DATA_DIR ?? '', 'gitdirs', 'D-1.git');
    for (let file = 0; file < CHANGED; file += 1) await writeFile(join(workTree, `new-${file}.txt`), `line ${file}\n`);

    const read = async () => {
      const { status } = await call(server.url, 'GET', '/v1/tickets/D-1/diff');
      if (status !== 200) throw new Error(`The diff request returned ${status}.`);
    };
    const measured = await interleave(lab.short ? 3 : 15, {
      ours: () => timed(read),
      byHand: () => timed(() => diffByHand(lab.dir, gitDir, workTree)),
      concurrent: () => timed(() => Promise.all(Array.from({ length: READERS }, read))),
    });
    const byHand = { name: 'same git commands, not confined', value: median(measured.byHand) };
    const what = `10,000 files, ${CHANGED} new`;
    return [
      { what, unit: 'ms', ours: median(measured.ours), yardstick: byHand, goal: { within: 3 } },
      { what: `${what}, ${READERS} readers`, unit: 'ms', ours: median(measured.concurrent), yardstick: byHand },
    ];
  },
};

/** Compares a working tree with its branch through a separate index. */
async function diffByHand(dir: string, gitDir: string, workTree: string): Promise<void> {
  const index = join(dir, 'index');
  await copyFile(join(gitDir, 'index'), index);
  const env = { PATH: process.env.PATH ?? '', GIT_DIR: gitDir, GIT_WORK_TREE: workTree, GIT_INDEX_FILE: index };
  const git = (...args: string[]) => run('git', args, { cwd: workTree, env, maxBuffer: 2 ** 26 });
  await git('ls-files', '-z', '--others', '--exclude-standard');
  await git('diff-files', '-z', '--name-status');
  await git('add', '--all');
  const tree = (await git('write-tree')).stdout.trim();
  await git('diff-tree', '-r', '--find-renames', '--raw', '--numstat', 'HEAD', tree);
  await git('diff-tree', '-r', '--find-renames', '--patch', 'HEAD', tree);
}

async function timed(task: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await task();
  return performance.now() - startedAt;
}
