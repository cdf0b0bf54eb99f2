/**
 * What an agent puts into its workspace so that the server's git finds no end in it, or much to do. The harm: the run cannot be
 * canceled, a program of the server stays, or other tickets wait.
 */
export type StuckAttack = {
  name: string;
  /** Shell commands in the workspace. */
  command: string;
  /** Whether git finds no end at all, so that only the cancel ends the run. */
  endless?: true;
};

const PATTERNS = '**/*a/'.repeat(12);
const DEEP = `${'aaaa/'.repeat(40)}`;

export const STUCK_ATTACKS: readonly StuckAttack[] = [
  { name: 'a .gitignore that is a FIFO', command: 'rm -f .gitignore; mkfifo .gitignore', endless: true },
  { name: 'a .gitattributes that is a FIFO', command: 'rm -f .gitattributes; mkfifo .gitattributes' },
  {
    name: 'a .gitignore of a folder that is a FIFO',
    command: 'mkdir -p sub/deep; echo x > sub/deep/file; mkfifo sub/deep/.gitignore',
    endless: true,
  },
  {
    name: 'a .gitignore that is a socket, and one that is a folder',
    command: `rm -f .gitignore; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => ".gitignore", Listen => 1)'; mkdir -p sub/.gitignore/x; echo x > sub/file`,
  },
  {
    name: '50 MB of patterns',
    command: `perl -e 'print "pattern-$_-*/x\\n" for 1 .. 2500000' > .gitignore; echo x > file`,
  },
  {
    name: 'a pattern that takes as long as one likes',
    command: `mkdir -p ${DEEP}; echo x > ${DEEP}file; echo '${PATTERNS}b' > .gitignore`,
  },
  { name: 'a file that is a FIFO', command: 'rm -f README.md; mkfifo README.md pipe' },
];
