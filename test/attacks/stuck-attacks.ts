/**
 * Files with which an agent blocks the server's git, or slows it down. The attack succeeds when the run cannot be canceled, a
 * program of the server keeps running, or other tickets wait.
 */
export type StuckAttack = {
  name: string;
  /** Shell commands in the workspace. */
  command: string;
  /** Whether git blocks forever, so that only a cancellation stops the run. */
  endless?: true;
};

const PATTERNS = '**/*a/'.repeat(12);
const DEEP = `${'aaaa/'.repeat(40)}`;

export const STUCK_ATTACKS: readonly StuckAttack[] = [
  { name: '.gitignore is a FIFO', command: 'rm -f .gitignore; mkfifo .gitignore', endless: true },
  { name: '.gitattributes is a FIFO', command: 'rm -f .gitattributes; mkfifo .gitattributes' },
  {
    name: '.gitignore of a folder is a FIFO',
    command: 'mkdir -p sub/deep; echo x > sub/deep/file; mkfifo sub/deep/.gitignore',
    endless: true,
  },
  {
    name: 'one .gitignore is a socket and another a folder',
    command: `rm -f .gitignore; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => ".gitignore", Listen => 1)'; mkdir -p sub/.gitignore/x; echo x > sub/file`,
  },
  {
    name: '.gitignore has 50 MB of patterns',
    command: `perl -e 'print "pattern-$_-*/x\\n" for 1 .. 2500000' > .gitignore; echo x > file`,
  },
  {
    name: 'a pattern of .gitignore has exponential backtracking',
    command: `mkdir -p ${DEEP}; echo x > ${DEEP}file; echo '${PATTERNS}b' > .gitignore`,
  },
  { name: 'a tracked file is a FIFO', command: 'rm -f README.md; mkfifo README.md pipe' },
];
