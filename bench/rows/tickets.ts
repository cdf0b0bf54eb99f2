import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { call } from '../clients.ts';
import type { Lab, Server } from '../lab.ts';
import { type RepositoryKind, repositoryOf } from '../repositories.ts';
import type { Figure, Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const run = promisify(execFile);
const CONCURRENCY = 20;
const CLONE = '`git clone` over smart HTTP';
const BY_HAND = 'fetch and checkout by hand';
/** Created before the next spare checkout is ready. */
const NO_SPARE = 'with no spare ready';

type Setup = {
  server: Server;
  lab: Lab;
  url: string;
  gitEnv: Record<string, string>;
  mirror: string;
  folders: { tickets: string; data: string };
};

export const tickets: Row = {
  name: 'tickets',
  title: 'Further ticket on a repository',
  async measure(lab) {
    return [...(await measureHistory(await setUp(lab, 'history'))), ...(await measureTree(await setUp(lab, 'tree')))];
  },
};

/** Starts a server with one ticket on the repository, and clones a mirror by hand. */
async function setUp(lab: Lab, kind: RepositoryKind): Promise<Setup> {
  const { github, env } = await lab.standIns(kind);
  await github.addRepository(`bench/${kind}`, { bare: await repositoryOf(kind) });
  const settings = lab.settings(kind);
  const server = await lab.server({ ...settings, ...env });
  const url = `https://github.com/bench/${kind}`;
  const gitEnv = {
    PATH: process.env.PATH ?? '',
    HOME: '/nonexistent',
    GIT_CONFIG_NOSYSTEM: '1',
    ...github.environment(),
  };
  const mirror = join(lab.dir, `${kind}-mirror`);
  await run('git', ['clone', '--quiet', '--bare', url, mirror], { env: gitEnv });
  const folders = { tickets: settings.TICKETS_ROOT ?? '', data: settings.DATA_DIR ?? '' };
  const setup = { server, lab, url, gitEnv, mirror, folders };
  await create(setup, 'FIRST');
  return setup;
}

async function measureHistory(setup: Setup): Promise<Figure[]> {
  const { lab } = setup;
  const { ours, withoutSpare, clone, byHand } = await compare(setup);
  const what = '10,000 files, 60,000 objects';
  const figures: Figure[] = [
    { what, unit: 'ms', ours, yardstick: { name: CLONE, value: clone }, goal: { times: 15 } },
    { what, unit: 'ms', ours, yardstick: { name: BY_HAND, value: byHand }, goal: { within: 1.3 } },
    { what: `${what}, ${NO_SPARE}`, unit: 'ms', ours: withoutSpare, yardstick: { name: CLONE, value: clone } },
    {
      what: `${what}, ${NO_SPARE}`,
      unit: 'ms',
      ours: withoutSpare,
      yardstick: { name: BY_HAND, value: byHand },
      goal: { within: 1.3 },
    },
    await diskUsage(setup),
  ];
  const concurrent = await interleave(lab.short ? 1 : 3, {
    ours: (round) => timed(() => runAtOnce((index) => create(setup, `O${round}-${index}`))),
    async clone(round) {
      await waitForSpare(setup);
      return timed(() => runAtOnce((index) => cloneTo(setup, `many-${round}-${index}`)));
    },
    byHand: (round) =>
      timed(() =>
        checkOutByHand(
          setup,
          Array.from({ length: CONCURRENCY }, (_, index) => `hand-${round}-${index}`),
        ),
      ),
  });
  const clones = { name: `${CONCURRENCY} clones`, value: median(concurrent.clone) };
  const checkouts = { name: `${CONCURRENCY} times ${BY_HAND}`, value: median(concurrent.byHand) };
  const atOnce = { what: `${CONCURRENCY} at once`, unit: 'ms' as const, ours: median(concurrent.ours) };
  figures.push({ ...atOnce, yardstick: clones, goal: { times: 15 } }, { ...atOnce, yardstick: checkouts });
  return figures;
}

async function measureTree(setup: Setup): Promise<Figure[]> {
  const { ours, withoutSpare, clone, byHand } = await compare(setup);
  const what = '50,000 files, no history';
  return [
    { what, unit: 'ms', ours, yardstick: { name: CLONE, value: clone } },
    { what, unit: 'ms', ours, yardstick: { name: BY_HAND, value: byHand }, goal: { within: 1.3 } },
    {
      what: `${what}, ${NO_SPARE}`,
      unit: 'ms',
      ours: withoutSpare,
      yardstick: { name: BY_HAND, value: byHand },
      goal: { within: 1.3 },
    },
  ];
}

async function compare(setup: Setup) {
  const { ours, withoutSpare, clone, byHand } = await interleave(setup.lab.short ? 1 : 5, {
    async ours(round) {
      await waitForSpare(setup);
      return timed(() => create(setup, `T-${round}`));
    },
    withoutSpare: (round) => timed(() => create(setup, `A-${round}`)),
    async clone(round) {
      // Background work of the server must have finished.
      await waitForSpare(setup);
      return timed(() => cloneTo(setup, `clone-${round}`));
    },
    byHand: (round) => timed(() => checkOutByHand(setup, [`hand-${round}`])),
  });
  return { ours: median(ours), withoutSpare: median(withoutSpare), clone: median(clone), byHand: median(byHand) };
}

/** Resolves when the spare checkout is ready: git writes the index last. */
async function waitForSpare({ folders }: Setup): Promise<void> {
  const staging = join(folders.data, 'staging');
  for (;;) {
    for (const name of await readdir(staging)) {
      const names = await readdir(join(staging, name)).catch((): string[] => []);
      if (names.includes('HEAD') && names.includes('index')) return;
    }
    await pause(50);
  }
}

/** Compares the disk usage of one more ticket with the size of its files. */
async function diskUsage(setup: Setup): Promise<Figure> {
  const { tickets: workspaces, data } = setup.folders;
  await waitForSpare(setup);
  const before = await sizeOf(workspaces, data);
  await create(setup, 'DISK');
  await waitForSpare(setup);
  const ours = (await sizeOf(workspaces, data)) - before;
  const files = await sizeOf(join(workspaces, 'DISK'));
  return {
    what: 'disk usage',
    unit: 'MB',
    ours: ours / 1e3,
    yardstick: { name: 'its working tree', value: files / 1e3 },
    goal: { within: 1.02 },
  };
}

async function create({ server, url }: Setup, ticketId: string): Promise<void> {
  await call(server.url, 'POST', '/v1/tickets', { ticket_id: ticketId, repo_url: url });
}

async function cloneTo({ mirror, url, gitEnv }: Setup, name: string): Promise<void> {
  await run('git', ['clone', '--quiet', url, `${mirror}-${name}`], { env: gitEnv });
}

/** Fetches into a mirror and checks out with borrowed objects: the fastest safe way that we found. */
async function checkOutByHand(setup: Setup, names: readonly string[]): Promise<void> {
  const update = ['fetch', '--quiet', '--no-tags', setup.url, '+main:main'];
  await run('git', ['--git-dir', setup.mirror, ...update], { env: setup.gitEnv });
  await Promise.all(names.map((name) => checkoutTo(setup, name)));
}

async function checkoutTo({ gitEnv, mirror }: Setup, name: string): Promise<void> {
  const [gitDir, tree] = [`${mirror}-${name}.git`, `${mirror}-${name}`];
  const env = { ...gitEnv, GIT_DIR: gitDir, GIT_WORK_TREE: tree };
  await run('git', ['init', '--quiet', '--bare', '--template=', gitDir], { env: gitEnv });
  await mkdir(tree);
  await writeFile(join(gitDir, 'objects/info/alternates'), `${mirror}/objects\n`);
  const { stdout } = await run('git', ['--git-dir', mirror, 'rev-parse', 'main'], { env: gitEnv });
  await run('git', ['update-ref', 'refs/heads/main', stdout.trim()], { env });
  await run('git', ['symbolic-ref', 'HEAD', 'refs/heads/main'], { env });
  await run('git', ['checkout', '--quiet', '--force'], { env });
}

async function runAtOnce(task: (index: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: CONCURRENCY }, (_, index) => task(index)));
}

async function timed(task: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await task();
  return performance.now() - startedAt;
}

/** Measures disk blocks in kilobytes, without the store's write-ahead log, which has a constant size after its first use. */
async function sizeOf(...folders: string[]): Promise<number> {
  const { stdout } = await run('du', ['-sk', '--total', '--exclude=*.db-wal', ...folders]);
  return Number(/(\d+)\ttotal/.exec(stdout)?.[1]);
}
