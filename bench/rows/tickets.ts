import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { call } from '../clients.ts';
import type { Lab, Server } from '../lab.ts';
import { type Kind, repositoryOf } from '../repositories.ts';
import type { Figure, Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const run = promisify(execFile);
const AT_ONCE = 20;
const CLONE = '`git clone` over smart HTTP';
const BY_HAND = 'fetch and checkout by hand';
/** Before files wait for the next one. */
const AGAIN = 'right after another';

type Place = {
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
    return [...(await onHistory(await settle(lab, 'history'))), ...(await onTree(await settle(lab, 'tree')))];
  },
};

/** A server with one ticket on the repository already, and a mirror made by hand. */
async function settle(lab: Lab, kind: Kind): Promise<Place> {
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
  const place = { server, lab, url, gitEnv, mirror, folders };
  await create(place, 'FIRST');
  return place;
}

async function onHistory(place: Place): Promise<Figure[]> {
  const { lab } = place;
  const { ours, again, clone, byHand } = await contest(place);
  const what = '10,000 files, 60,000 objects';
  const figures: Figure[] = [
    { what, unit: 'ms', ours, yardstick: { name: CLONE, value: clone }, reach: { times: 15 } },
    { what, unit: 'ms', ours, yardstick: { name: BY_HAND, value: byHand }, reach: { within: 1.3 } },
    { what: `${what}, ${AGAIN}`, unit: 'ms', ours: again, yardstick: { name: CLONE, value: clone } },
    {
      what: `${what}, ${AGAIN}`,
      unit: 'ms',
      ours: again,
      yardstick: { name: BY_HAND, value: byHand },
      reach: { within: 1.3 },
    },
    await disk(place),
  ];
  const together = await interleave(lab.short ? 1 : 3, {
    ours: (round) => timed(() => each((index) => create(place, `O${round}-${index}`))),
    async clone(round) {
      await filesWait(place);
      return timed(() => each((index) => cloneTo(place, `many-${round}-${index}`)));
    },
    byHand: (round) =>
      timed(() =>
        checkOutByHand(
          place,
          Array.from({ length: AT_ONCE }, (_, index) => `hand-${round}-${index}`),
        ),
      ),
  });
  const clones = { name: `${AT_ONCE} clones`, value: median(together.clone) };
  const checkouts = { name: `${AT_ONCE} times ${BY_HAND}`, value: median(together.byHand) };
  const atOnce = { what: `${AT_ONCE} at once`, unit: 'ms' as const, ours: median(together.ours) };
  figures.push({ ...atOnce, yardstick: clones, reach: { times: 15 } }, { ...atOnce, yardstick: checkouts });
  return figures;
}

async function onTree(place: Place): Promise<Figure[]> {
  const { ours, again, clone, byHand } = await contest(place);
  const what = '50,000 files, no history';
  return [
    { what, unit: 'ms', ours, yardstick: { name: CLONE, value: clone } },
    { what, unit: 'ms', ours, yardstick: { name: BY_HAND, value: byHand }, reach: { within: 1.3 } },
    {
      what: `${what}, ${AGAIN}`,
      unit: 'ms',
      ours: again,
      yardstick: { name: BY_HAND, value: byHand },
      reach: { within: 1.3 },
    },
  ];
}

async function contest(place: Place) {
  const { ours, again, clone, byHand } = await interleave(place.lab.short ? 1 : 5, {
    async ours(round) {
      await filesWait(place);
      return timed(() => create(place, `T-${round}`));
    },
    again: (round) => timed(() => create(place, `A-${round}`)),
    async clone(round) {
      // What the server does in its own time is to be over.
      await filesWait(place);
      return timed(() => cloneTo(place, `clone-${round}`));
    },
    byHand: (round) => timed(() => checkOutByHand(place, [`hand-${round}`])),
  });
  return { ours: median(ours), again: median(again), clone: median(clone), byHand: median(byHand) };
}

/** Resolves when the server has checked the files of the next ticket out: git writes the index last. */
async function filesWait({ folders }: Place): Promise<void> {
  const staging = join(folders.data, 'staging');
  for (;;) {
    for (const name of await readdir(staging)) {
      const names = await readdir(join(staging, name)).catch((): string[] => []);
      if (names.includes('HEAD') && names.includes('index')) return;
    }
    await pause(50);
  }
}

/** What one more ticket takes, beside what its files take. */
async function disk(place: Place): Promise<Figure> {
  const { tickets: workspaces, data } = place.folders;
  await filesWait(place);
  const before = await sizeOf(workspaces, data);
  await create(place, 'DISK');
  await filesWait(place);
  const ours = (await sizeOf(workspaces, data)) - before;
  const files = await sizeOf(join(workspaces, 'DISK'));
  return {
    what: 'disk it takes',
    unit: 'MB',
    ours: ours / 1e3,
    yardstick: { name: 'its working tree', value: files / 1e3 },
    reach: { within: 1.02 },
  };
}

async function create({ server, url }: Place, ticketId: string): Promise<void> {
  await call(server.url, 'POST', '/v1/tickets', { ticket_id: ticketId, repo_url: url });
}

async function cloneTo({ mirror, url, gitEnv }: Place, name: string): Promise<void> {
  await run('git', ['clone', '--quiet', url, `${mirror}-${name}`], { env: gitEnv });
}

/** The fastest safe way that was found: objects borrowed from a mirror that is brought up to date. */
async function checkOutByHand(place: Place, names: readonly string[]): Promise<void> {
  const update = ['fetch', '--quiet', '--no-tags', place.url, '+main:main'];
  await run('git', ['--git-dir', place.mirror, ...update], { env: place.gitEnv });
  await Promise.all(names.map((name) => checkoutTo(place, name)));
}

async function checkoutTo({ gitEnv, mirror }: Place, name: string): Promise<void> {
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

async function each(work: (index: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => work(index)));
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** Blocks on the disk, in kilobytes; but for the store's write-ahead log, which grows to its size once and is used again. */
async function sizeOf(...folders: string[]): Promise<number> {
  const { stdout } = await run('du', ['-sk', '--total', '--exclude=*.db-wal', ...folders]);
  return Number(/(\d+)\ttotal/.exec(stdout)?.[1]);
}
