import type { Random } from '../random.ts';
import { REPOSITORY_FILES } from './repository.ts';

type Word = string | number | Buffer;

/** Adds one step of plant.pl. */
type Step = (...words: Word[]) => void;

/** Paths of the host to which a tree tries to lead the server. */
export type Outside = { folder: string; file: string; otherWorkspace: string; otherGitDir: string };

export type Tree = {
  /** Names of the hostile kinds in it. */
  kinds: string[];
  /** Input of plant.pl. */
  steps: Buffer;
  /** Whether the server may need its whole timeout to read the tree. */
  isSlow: boolean;
};

type Kind = {
  weight: number;
  isSlow?: boolean;
  /** Whether it makes sense only in a workspace, and not in a conversation. */
  forWorkspace?: boolean;
  plant(random: Random, step: Step, outside: Outside): void;
};

const SPARSE_BYTES = 10 * 1024 ** 3;
const MAX_DEPTH = 3000;

/** Names with a meaning for git, a shell or a file system. */
const NOTABLE_NAMES = [
  ...['.GIT', '.Git', 'git~1', '.git ', '.git.', '.g\u200cit', '.git::$INDEX_ALLOCATION', '.gitmodules', '.gitconfig'],
  ...['-rf', '--help', '--exec=x', '-', ' ', 'trailing ', 'a\nb', 'tab\there', '"quoted"', "it's", '$(id)', '`id`'],
  ...['CON', 'aux.txt', 'NUL', 'COM1', 'a:b', 'a\\b', '*', '?', ':(exclude)x', '!important', '#x', '.lock', 'HEAD'],
  ...['caf\u00e9', 'cafe\u0301', '\u202egnp.exe', '\ufeff', 'index.lock', 'packed-refs', 'UNFINISHED_RESTORE'],
];

/** Names that look like errors of git about a disk or a remote. */
const NAMES_LIKE_ERRORS = ['No space left on device', 'x: Read-only file system', 'error: 401', 'Connection refused\n'];

const MODES = [
  '0000',
  '0100',
  '0200',
  '0400',
  '0111',
  '0444',
  '0500',
  '0777',
  '01777',
  '02777',
  '04755',
  '06777',
  '07777',
];

/** A pattern of gitignore(5) with exponential backtracking. */
const EXPENSIVE_PATTERN = `${'**/*a/'.repeat(12)}x\n`;

/** Configuration of a repository that starts programs or redirects git. */
const hostileConfig = ({ folder, otherWorkspace }: Outside) => `[core]
\trepositoryformatversion = 0
\tfsmonitor = touch ${folder}/PWNED
\thooksPath = ${folder}
\tworktree = ${otherWorkspace}
\tsshCommand = touch ${folder}/PWNED
[filter "x"]
\tclean = touch ${folder}/PWNED
\tsmudge = touch ${folder}/PWNED
[include]
\tpath = ${folder}/config
`;

function anyName(random: Random): Word {
  return random.chance(0.5)
    ? random.pick(NOTABLE_NAMES)
    : anyBytes(random, 1 + random.below(random.chance(0.2) ? 255 : 20));
}

/** Returns a valid file name of random bytes, but not `.` or `..`. */
function anyBytes(random: Random, length: number): Buffer {
  const bytes = random.bytes(length).map((byte) => (byte === 0 || byte === 0x2f ? 0xff : byte));
  return bytes.every((byte) => byte === 0x2e) ? Buffer.from('dots') : Buffer.from(bytes);
}

function anyTarget(random: Random, { folder, file, otherWorkspace, otherGitDir }: Outside): Word {
  return random.pick<Word>([
    ...[file, folder, otherWorkspace, otherGitDir, `${otherWorkspace}/canary.txt`, `${otherGitDir}/config`],
    ...['/', '/proc/self', '/proc/self/environ', '/proc/self/cwd', '/dev/zero', '/dev/stdin', '/etc/passwd'],
    ...['nowhere', '.', '..', '../..', 'loop', 'x/'.repeat(2047), '\n', '../.staging'],
  ]);
}

function plantRepository(step: Step, random: Random, name: Word, outside: Outside): void {
  step('enter', name);
  step('file', 'beside.txt', 'beside a repository\n');
  if (random.chance(0.3)) {
    step('file', '.git', `gitdir: ${random.pick([outside.otherGitDir, '../.git', 'nowhere', '/'])}\n`);
  } else {
    step('enter', '.git');
    step('file', 'HEAD', random.pick(['ref: refs/heads/main\n', `${'0'.repeat(40)}\n`, '']));
    step('file', 'config', hostileConfig(outside));
    if (random.chance(0.3)) step('file', 'commondir', `${outside.otherGitDir}\n`);
    for (const folder of ['refs', 'objects/info', 'hooks']) {
      for (const part of folder.split('/')) step('enter', part);
      if (folder === 'objects/info') step('file', 'alternates', `${outside.otherGitDir}/objects\n`);
      for (const _ of folder.split('/')) step('leave');
    }
    if (random.chance(0.2)) step('chmod', 'objects', '0000');
    step('leave');
    if (random.chance(0.2)) step('chmod', '.git', random.pick(MODES));
  }
  step('leave');
}

/** Replaces a path by a random kind of file, or deletes it. */
function replace(step: Step, random: Random, name: string, outside: Outside): void {
  step('away', name);
  const kind = random.pick(['nothing', 'file', 'folder', 'link', 'pipe', 'socket', 'closed file', 'closed folder']);
  if (kind === 'file') step('file', name, random.pick([`gitdir: ${outside.otherGitDir}\n`, '', 'x']));
  if (kind === 'folder') {
    step('enter', name);
    step('file', 'inside', 'x');
    step('leave');
  }
  if (kind === 'link') step('symlink', name, anyTarget(random, outside));
  if (kind === 'pipe') step('fifo', name);
  if (kind === 'socket') step('socket', name);
  if (kind === 'closed file') {
    step('file', name, 'closed');
    step('chmod', name, '0000');
  }
  if (kind === 'closed folder') {
    step('enter', name);
    step('file', 'inside', 'x');
    step('leave');
    step('chmod', name, '0000');
  }
}

/** A file of rules for git: `.gitignore` or `.gitattributes`. */
function plantRules(step: Step, random: Random, name: string, outside: Outside): void {
  step('away', name);
  const kind = random.pick(['folder', 'link', 'loop', 'huge', 'many', 'one', 'closed']);
  if (kind === 'folder') {
    step('enter', name);
    step('leave');
  }
  if (kind === 'link') step('symlink', name, anyTarget(random, outside));
  if (kind === 'loop') step('symlink', name, name);
  if (kind === 'huge') step('sparse', name, SPARSE_BYTES);
  if (kind === 'many') step('repeat', name, 'a*b*c*/**/d\n', 20_000);
  if (kind === 'one') step('repeat', name, 'x', 1_000_000);
  if (kind === 'closed') {
    step('file', name, '* filter=x diff=x merge=x text eol=crlf working-tree-encoding=UTF-16 ident export-subst\n');
    if (random.chance(0.5)) step('chmod', name, '0000');
  }
}

const KINDS: Readonly<Record<string, Kind>> = {
  names: {
    weight: 4,
    plant(random, step) {
      for (let count = 0; count < 20; count += 1) {
        const name = anyName(random);
        if (random.chance(0.7)) step('file', name, 'x');
        else {
          step('enter', name);
          step('file', anyName(random), 'x');
          step('leave');
        }
      }
    },
  },
  depth: {
    weight: 4,
    plant(random, step) {
      const depth = random.pick([10, 300, 1000, 1 + random.below(MAX_DEPTH), MAX_DEPTH]);
      step('descend', random.chance(0.5) ? 'd' : anyBytes(random, 1 + random.below(200)), depth);
      step('file', 'leaf.txt', 'deep\n');
      step('ascend', depth);
    },
  },
  modes: {
    weight: 4,
    plant(random, step) {
      for (let count = 0; count < 10; count += 1) {
        step('file', `file-${count}`, 'x');
        step('chmod', `file-${count}`, random.pick(MODES));
        step('enter', `folder-${count}`);
        step('file', 'inside', 'x');
        step('enter', 'below');
        step('file', 'inside', 'x');
        step('leave');
        step('leave');
        step('chmod', `folder-${count}`, random.pick(MODES));
      }
      for (const name of NAMES_LIKE_ERRORS) {
        if (random.chance(0.5)) continue;
        step('file', name, 'x');
        step('chmod', name, '0000');
      }
      for (const path of REPOSITORY_FILES) if (random.chance(0.3)) step('chmod', path, random.pick(MODES));
    },
  },
  'root mode': {
    weight: 3,
    plant: (random, step) => step('chmod', '.', random.pick(MODES)),
  },
  links: {
    weight: 4,
    plant(random, step, outside) {
      for (let count = 0; count < 12; count += 1) step('symlink', `link-${count}`, anyTarget(random, outside));
      step('symlink', 'loop', 'loop');
      step('link', 'hard', 'README.md');
      step('link', 'hard-link', 'loop');
      step('link', 'hard-outside', outside.file);
    },
  },
  'special files': {
    weight: 3,
    plant(random, step) {
      for (const name of ['pipe', 'src/pipe', 'dir/deep/pipe']) if (random.chance(0.7)) step('fifo', name);
      for (const name of ['socket', 'src/socket']) step('socket', name);
    },
  },
  'sparse files': {
    weight: 2,
    plant(random, step) {
      step('sparse', 'sparse', SPARSE_BYTES);
      if (random.chance(0.3)) step('sparse', 'below-the-limit', 90 * 1024 ** 2);
    },
  },
  'many files': {
    weight: 1,
    plant(random, step) {
      step('enter', 'many');
      step('files', 'f', 1000 + random.below(9000));
      step('leave');
    },
  },
  'nested repositories': {
    weight: 4,
    forWorkspace: true,
    plant(random, step, outside) {
      plantRepository(step, random, 'nested', outside);
      if (random.chance(0.5)) plantRepository(step, random, anyName(random), outside);
      if (random.chance(0.3)) {
        for (let depth = 0; depth < 30; depth += 1) {
          plantRepository(step, random, 'in', outside);
          step('enter', 'in');
        }
        step('ascend', 30);
      }
    },
  },
  '.git': { weight: 4, forWorkspace: true, plant: (random, step, outside) => replace(step, random, '.git', outside) },
  'tracked files': {
    weight: 4,
    forWorkspace: true,
    plant(random, step, outside) {
      for (const path of [...REPOSITORY_FILES, 'src', 'dir', 'dir/deep']) {
        if (random.chance(0.3)) replace(step, random, path, outside);
      }
    },
  },
  submodule: {
    weight: 2,
    forWorkspace: true,
    plant(random, step, outside) {
      if (random.chance(0.5)) replace(step, random, 'sub', outside);
      else plantRepository(step, random, 'sub', outside);
      if (random.chance(0.5)) replace(step, random, '.gitmodules', outside);
    },
  },
  rules: {
    weight: 4,
    forWorkspace: true,
    plant(random, step, outside) {
      for (const name of ['.gitignore', '.gitattributes', 'src/.gitignore', 'src/.gitattributes']) {
        if (random.chance(0.5)) plantRules(step, random, name, outside);
      }
    },
  },
  'all ignored': {
    weight: 3,
    forWorkspace: true,
    plant(_random, step) {
      step('file', '.gitignore', '*\n');
      step('enter', 'cache');
      step('descend', 'deep', 100);
      step('file', 'x', 'x');
      step('ascend', 100);
      step('chmod', 'deep', '0500');
      step('leave');
      step('chmod', 'cache', '0500');
    },
  },
  attributes: {
    weight: 1,
    plant(random, step) {
      for (const path of ['README.md', '.', 'src']) step('xattr', path, random.word(1 + random.below(1000)));
    },
  },
  'rule pipes': {
    weight: 1,
    isSlow: true,
    forWorkspace: true,
    plant(random, step) {
      const name = random.pick(['.gitignore', '.gitattributes', 'src/.gitignore', 'src/.gitattributes']);
      step('away', name);
      step('fifo', name);
    },
  },
  'expensive rules': {
    weight: 1,
    isSlow: true,
    forWorkspace: true,
    plant(_random, step) {
      step('away', '.gitignore');
      step('file', '.gitignore', EXPENSIVE_PATTERN);
      step('descend', 'aaaaaaaaaa', 60);
      step('file', 'leaf', 'x');
      step('ascend', 60);
    },
  },
  races: {
    weight: 5,
    plant(random, step, outside) {
      step('file', 'swapped', 'swapped\n');
      step('symlink', 'swapped-link', outside.file);
      step('enter', 'swapped-folder');
      step('file', 'canary.txt', 'harmless\n');
      step('leave');
      step('symlink', 'swapped-folder-link', outside.folder);
      const races: readonly (readonly [string, string, string])[] = [
        ['swap', 'swapped', 'swapped-link'],
        ['swap', 'swapped-folder', 'swapped-folder-link'],
        ['swap', 'src', 'swapped-folder-link'],
        ['write', 'README.md', ''],
        ['write', 'growing', ''],
        ['retype', 'changing', outside.file],
        ['retype', 'src/a.txt', outside.file],
        ['retype', '.gitattributes', outside.file],
        ['churn', 'churned', ''],
        ['remode', 'src', ''],
        ['remode', 'README.md', ''],
        ['move', 'dir', 'moved'],
        ['move', '.git', 'moved-git'],
        ['retype', '.git', outside.otherGitDir],
      ];
      const count = 1 + random.below(3);
      for (let index = 0; index < count; index += 1) step('race', ...random.pick(races));
    },
  },
};

/** Creates a hostile tree for a workspace or for the folder of a conversation. */
export function makeTree(random: Random, where: 'workspace' | 'conversation', outside: Outside): Tree {
  const words: Buffer[] = [];
  const step: Step = (...parts) => void words.push(...parts.flatMap((part) => [toBytes(part), Buffer.of(0)]));
  const fitting = Object.entries(KINDS).filter(([, { forWorkspace }]) => where === 'workspace' || !forWorkspace);
  const names = new Set<string>();
  const count = 1 + random.below(4);
  while (names.size < count) names.add(random.weighted(fitting.map(([name, { weight }]) => [weight, name] as const)));
  // In the order of the table, but the mode of the root comes last: it may block the other steps.
  const kinds = Object.keys(KINDS).filter((name) => names.has(name));
  const last = 'root mode';
  const order = [...kinds.filter((name) => name !== last), ...kinds.filter((name) => name === last)];
  for (const name of order) KINDS[name]?.plant(random, step, outside);
  return { kinds: order, steps: Buffer.concat(words), isSlow: order.some((name) => KINDS[name]?.isSlow) };
}

export const KIND_NAMES = Object.keys(KINDS);

function toBytes(word: Word): Buffer {
  return Buffer.isBuffer(word) ? word : Buffer.from(String(word));
}
