import { readdir } from 'node:fs/promises';
import t from 'tap';
import { AppError } from '../../src/errors/app-error.ts';
import { createRandom } from '../attacks/random.ts';
import { type Node, type Objects, objectsOf } from './hostile-trees.ts';
import { makeWorld, plainGit, repo } from './world.ts';

/** For more or other trees: `TREES=500 SEED=7 npx tap test/workspaces/random-trees.test.ts`. */
const TREES = Number(process.env.TREES ?? 12);
const SEED = Number(process.env.SEED ?? 1);
const REFUSALS = ['path_unsupported', 'path_clash', 'workspace_too_large'];
/** Errors of a fetch when git on either side rejects the tree. */
const NOT_FETCHED = ['clone_failed', 'network_unreachable'];

type Random = ReturnType<typeof createRandom>;

/** Generates a tree of up to some thousand entries in git's order. Most could not come from a checkout. */
function randomNodes(random: Random, objects: Objects, depth = 0): Node[] {
  const byName = new Map<string, Node>();
  for (let count = 1 + random.below(depth === 0 ? 6 : 3); count > 0; count -= 1) {
    const node = randomNode(random, objects, depth);
    byName.set(node.name.toString('latin1'), node);
  }
  return inOrder([...byName.values()]);
}

/** Sorts nodes as git does, folders as if their names ended with a slash: https://git-scm.com/docs/git-fsck (`treeNotSorted`) */
function inOrder(nodes: Node[]): Node[] {
  const key = ({ mode, name }: Node) => Buffer.concat([Buffer.from(name), Buffer.from(mode === '40000' ? '/' : '')]);
  return nodes.sort((one, other) => Buffer.compare(key(one), key(other)));
}

function randomNode(random: Random, objects: Objects, depth: number): Node {
  const name = randomName(random);
  const kind = random.weighted([
    [40, 'file'],
    [10, 'link'],
    [depth > 3 ? 0 : 30, 'folder'],
    [3, 'submodule'],
    [4, 'nested'],
    [2, 'bomb'],
    [2, 'many'],
    [1, 'broken'],
  ]);
  const file = () => objects.file(name, randomContent(random));
  if (kind === 'file') return { ...file(), mode: random.pick(['100644', '100644', '100755', '100664']) };
  if (kind === 'link') return { ...objects.link('', randomTarget(random)), name };
  if (kind === 'folder') return objects.folder(name, ...randomNodes(random, objects, depth + 1));
  if (kind === 'submodule') return { mode: '160000', name, object: random.bytes(20).toString('hex') };
  if (kind === 'nested') return objects.nested(random.word(1 + random.below(8)), random.pick([3, 50, 600]), file());
  if (kind === 'bomb')
    return objects.bomb(random.word(20), random.pick([1, 2, 9]), ...(random.below(2) ? [file()] : []));
  if (kind === 'many') return objects.folder(name, ...objects.many(random.pick([10, 300, 3000]), objects.file('f')));
  return random.pick([
    { ...file(), mode: '40000' },
    { ...objects.folder(name), mode: '100644' },
    { ...file(), mode: random.pick(['0', '10644', '60644', '140000', '777777']) },
    { mode: '100644', name, object: random.bytes(20).toString('hex') },
  ]);
}

function randomName(random: Random): string | Buffer {
  return random.pick<() => string | Buffer>([
    () => random.word(1 + random.below(20)),
    () => random.word(1 + random.below(20)),
    () => random.word(random.pick([200, 254, 255, 256, 300, 5000])),
    () => random.pick(['.gitattributes', '.gitignore', '.gitmodules', 'README.md', 'readme.md', '-rf', ' ', '*', '~']),
    () => random.pick(['.git', '.GIT', 'git~1', '.g\u200cit', '.git ', '..', '.', 'a/../b', '/etc', 'a\\b']),
    () => Buffer.from(random.bytes(1 + random.below(30)).map((byte) => byte || 1)),
    () => `a\n${random.word(3)}\u001b[31m`,
    () => 'ü'.repeat(1 + random.below(130)),
  ])();
}

function randomContent(random: Random): string | Buffer {
  return random.pick<() => string | Buffer>([
    () => '',
    () => `${random.word(30)}\n`,
    () => random.bytes(200),
    () => Buffer.alloc(random.pick([4095, 4097, 100_000, 1_100_000, 6_000_000])),
    () => '* text eol=crlf\n*.bin filter=lfs\n* working-tree-encoding=UTF-32 ident\n',
  ])();
}

function randomTarget(random: Random): string {
  return random.pick<() => string>([
    () => random.word(1 + random.below(60)),
    () => 'x'.repeat(random.pick([0, 1, 255, 256, 4094, 4095, 4096, 5000, 100_000])),
    () => random.pick(['/etc/passwd', '../../..', '.git', 'a\0b', '\0']),
  ])();
}

t.test('create() and sync() check out a random tree or refuse it, and leave nothing behind', async (t) => {
  const { github, workspaces, path } = await makeWorld(t, { MAX_WORKSPACE_MB: 5 });
  for (let seed = SEED; seed < SEED + TREES; seed += 1) {
    const random = createRandom(seed);
    const name = `acme/trees-${seed}`;
    const { directory } = await github.addRepository(name);
    const objects = objectsOf(directory);
    const readme = objects.file('README.md', 'read me\n');
    objects.commit([readme]);
    const create = (ticketId: string) => workspaces.create({ ticketId, repo: repo(name) });
    await create(`OLD-${seed}`);
    const { head } = await workspaces.status(`OLD-${seed}`);

    const nodes = randomNodes(random, objects);
    objects.commit(inOrder([...nodes.filter(({ name }) => name !== 'README.md'), readme]));
    const outcomes: (string | undefined)[] = [];
    for (const command of [() => create(`NEW-${seed}`), () => workspaces.sync(`OLD-${seed}`)]) {
      outcomes.push(await command().then(() => undefined, codeOf));
    }
    const [created, synced] = outcomes;
    const about = `seed ${seed}: ${created ?? 'created'}, ${synced ?? 'synced'}`;
    t.ok(created === undefined || [...NOT_FETCHED, ...REFUSALS].includes(created), about);
    if (created === undefined || REFUSALS.includes(created)) t.equal(synced, created, about);
    if (created === undefined) {
      for (const ticketId of [`NEW-${seed}`, `OLD-${seed}`]) {
        t.equal(plainGit(['status', '--porcelain'], { cwd: path('tickets', ticketId) }), '', about);
      }
    } else {
      await t.rejects(workspaces.paths(`NEW-${seed}`), { code: 'ticket_not_found' }, about);
      t.match(await workspaces.status(`OLD-${seed}`), { head, dirty: false }, about);
      if (REFUSALS.includes(created)) {
        objects.commit([readme, objects.file('repaired.txt')]);
        t.match(await workspaces.sync(`OLD-${seed}`), { updated: true }, about);
      }
    }
    t.strictSame([await readdir(path('data', 'staging')), await readdir(path('tickets', '.staging'))], [[], []], about);
    await workspaces.remove(`OLD-${seed}`, repo(name).url);
    await workspaces.remove(`NEW-${seed}`, repo(name).url);
  }
});

function codeOf(error: unknown): string {
  return error instanceof AppError ? error.code : String(error);
}
