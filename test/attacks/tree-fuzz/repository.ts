import type { Entry } from '../../workspaces/world.ts';

/** Content of the repository of the trees. */
export const ENTRIES: readonly Entry[] = [
  { path: 'README.md', content: '# Fuzz\n' },
  { path: 'src/a.txt', content: 'a\n' },
  { path: 'src/b.txt', content: 'b\n', mode: '100755' },
  { path: 'dir/deep/file.txt', content: 'deep\n' },
  { path: 'link', content: 'README.md', mode: '120000' },
  { path: '.gitmodules', content: '[submodule "sub"]\n\tpath = sub\n\turl = https://github.com/acme/sub\n' },
  { path: 'sub', content: '1'.repeat(40), mode: '160000' },
];

/** Files that a tree may replace. */
export const REPOSITORY_FILES = ['README.md', 'src/a.txt', 'src/b.txt', 'dir/deep/file.txt', 'link'];

/** Commits of others during a round: to files that trees replace, and to paths that a tree may use. */
export const UPSTREAM: readonly Entry[] = [
  { path: 'README.md', content: '# Fuzz\n\nMoved on.\n' },
  { path: 'src/a.txt', content: 'a, changed\n' },
  { path: 'dir/deep/new.txt', content: 'new\n' },
  { path: 'nested/upstream.txt', content: 'upstream\n' },
  { path: 'pipe', content: 'not a pipe\n' },
  { path: 'many/f1', content: 'one of many\n' },
];
