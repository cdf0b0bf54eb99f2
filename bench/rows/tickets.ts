import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { call } from '../clients.ts';
import type { Lab, Server } from '../lab.ts';
import { type Kind, repositoryOf } from '../repositories.ts';
import type { Figure, Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const run = promisify(execFile);
const AT_ONCE = 20;
const CLONE = '`git clone` over smart HTTP';

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
  const [ours, clone, byHand] = await contest(place);
  const figures: Figure[] = [
    {
      what: '10,000 files, 60,000 objects',
      unit: 'ms',
      ours,
      yardstick: { name: CLONE, value: clone },
      reach: { times: 15 },
    },
    {
      what: 'the same',
      unit: 'ms',
      ours,
      yardstick: { name: 'fetch and checkout by hand', value: byHand },
      reach: { within: 1.3 },
    },
    await disk(place),
  ];
  const together = await interleave(lab.short ? 1 : 3, {
    ours: (round) => timed(() => each((index) => create(place, `O${round}-${index}`))),
    clone: (round) => timed(() => each((index) => cloneTo(place, `many-${round}-${index}`))),
  });
  const yardstick = { name: `${AT_ONCE} clones`, value: median(together.clone) };
  figures.push({
    what: `${AT_ONCE} at once`,
    unit: 'ms',
    ours: median(together.ours),
    yardstick,
    reach: { times: 15 },
  });
  return figures;
}

async function onTree(place: Place): Promise<Figure[]> {
  const [ours, clone, byHand] = await contest(place);
  return [
    { what: '50,000 files, no history', unit: 'ms', ours, yardstick: { name: CLONE, value: clone } },
    {
      what: 'the same',
      unit: 'ms',
      ours,
      yardstick: { name: 'writing the tree by hand', value: byHand },
      reach: { within: 1.3 },
    },
  ];
}

async function contest(place: Place): Promise<[number, number, number]> {
  const measured = await interleave(place.lab.short ? 1 : 5, {
    ours: (round) => timed(() => create(place, `T-${round}`)),
    clone: (round) => timed(() => cloneTo(place, `clone-${round}`)),
    byHand: (round) => timed(() => checkoutTo(place, `hand-${round}`)),
  });
  return [median(measured.ours), median(measured.clone), median(measured.byHand)];
}

/** What one more ticket takes, beside what its files take. */
async function disk(place: Place): Promise<Figure> {
  const { tickets: workspaces, data } = place.folders;
  const before = await sizeOf(workspaces, data);
  await create(place, 'DISK');
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
async function checkoutTo({ url, gitEnv, mirror }: Place, name: string): Promise<void> {
  const [gitDir, tree] = [`${mirror}-${name}.git`, `${mirror}-${name}`];
  const env = { ...gitEnv, GIT_DIR: gitDir, GIT_WORK_TREE: tree };
  await run('git', ['--git-dir', mirror, 'fetch', '--quiet', '--no-tags', url, '+main:main'], { env: gitEnv });
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

/** Blocks on the disk, in kilobytes. */
async function sizeOf(...folders: string[]): Promise<number> {
  const { stdout } = await run('du', ['-sk', '--total', ...folders]);
  return Number(/(\d+)\ttotal/.exec(stdout)?.[1]);
}
