/** A ticket whose agent swaps files, and operations that make the server read them. */
export type RaceArena = {
  /** Starts a run whose agent swaps files or folders, and waits until it hangs at its model. */
  swap(swapped: Swapped): Promise<string>;
  /** Reads the changes by several readers in parallel, as JSON and as a patch. */
  diff(): Promise<string>;
  /** Takes a backup; returns its files with a secret and the git objects of the ticket. */
  backup(): Promise<string>;
  sync(): Promise<string>;
  housekeeping(): Promise<string>;
  /** Lets the agent finish; returns the events of the run and all pushed objects. */
  finish(): Promise<string>;
  /** Cancels the run; returns its events. */
  cancel(): Promise<string>;
  /** Starts a run whose agent loads its conversation in a new process; returns its events and the model request. */
  load(): Promise<string>;
  /** Deletes the ticket with `force`. */
  remove(): Promise<string>;
};

/**
 * A race of a program in the sandbox, which swaps files or folders with links, against an operation of the server. The
 * attack succeeds when the name or content of a file outside the sandbox leaks, or such a file changes.
 */
export type RaceAttack = {
  name: string;
  /** Number of attempts. */
  times: number;
  attempt(arena: RaceArena): Promise<string>;
  /** Why the race is not carried out without the confinement. */
  skipProof?: string;
};

const EXITED = 'the swapping process has exited by then';
const SETUP_ONLY = 'it only prepares the next races';
const GUARDED = 'the program may have its own protection against links';

/** The races run in this order, in two runs of one ticket. */
export const RACE_ATTACKS: readonly RaceAttack[] = [
  {
    name: 'starts a run whose agent swaps files',
    times: 1,
    attempt: (arena) => arena.swap('files'),
    skipProof: SETUP_ONLY,
  },
  { name: 'answers GET diff to several readers', times: 40, attempt: (arena) => arena.diff() },
  { name: 'backs up files and the conversation', times: 12, attempt: (arena) => arena.backup() },
  {
    name: 'answers POST sync',
    times: 4,
    attempt: (arena) => arena.sync(),
    skipProof: 'the server refuses it during a run',
  },
  {
    name: 'runs the housekeeping and measures the workspace',
    times: 4,
    attempt: (arena) => arena.housekeeping(),
    skipProof: GUARDED,
  },
  { name: 'commits at the end of the run', times: 1, attempt: (arena) => arena.finish(), skipProof: EXITED },
  { name: 'loads the conversation in a new process', times: 1, attempt: (arena) => arena.load(), skipProof: GUARDED },
  {
    name: 'starts a run whose agent swaps folders',
    times: 1,
    attempt: (arena) => arena.swap('folders'),
    skipProof: SETUP_ONLY,
  },
  {
    name: 'answers GET diff of folders to several readers',
    times: 12,
    attempt: (arena) => arena.diff(),
    skipProof: GUARDED,
  },
  { name: 'backs up folders', times: 6, attempt: (arena) => arena.backup(), skipProof: GUARDED },
  { name: 'cancels the run', times: 1, attempt: (arena) => arena.cancel(), skipProof: EXITED },
  { name: 'answers GET diff after the cancellation', times: 1, attempt: (arena) => arena.diff(), skipProof: EXITED },
  {
    name: 'deletes a ticket whose agent swaps files',
    times: 1,
    attempt: (arena) => arena.remove(),
    skipProof: GUARDED,
  },
];

/** Few pairs: a program mostly aborts at the first link in place of a file, so a pair could hide the success of another. */
const PAIRS = 3;
const RENAMEAT2 = { x64: 316, arm64: 276 };

export type Swapped = 'files' | 'folders';

/**
 * Returns the shell command of the swaps. It creates pairs of a file or folder and a link, in the workspace and in the
 * conversation, and starts the swapping program in the background.
 * @param targets targets of the links
 * @param text a text as long as the secret, because git reads as many bytes as `lstat` reported
 */
export function swapCommand(swapped: Swapped, targets: readonly string[], text: string, arch = process.arch): string {
  const call = arch === 'arm64' ? RENAMEAT2.arm64 : RENAMEAT2.x64;
  const make = (path: string) =>
    swapped === 'files' ? `echo ${text} > ${path}` : `mkdir -p ${path}; echo ${text} > ${path}/secret.txt`;
  const pairs = (at: string) =>
    Array.from(
      { length: PAIRS },
      (_, index) => `${make(`${at}/s${index}`)}; ln -sfn ${targets[index % targets.length]} ${at}/t${index}`,
    );
  // RENAME_EXCHANGE is atomic: each name exists at all times.
  const program = `my $at = $ARGV[0]; while (1) { for my $n (0 .. ${PAIRS - 1}) { my ($one, $other) = ("$at/s$n", "$at/t$n"); syscall(${call}, -100, $one, -100, $other, 2) } }`;
  const folders = ['race', '$chats/race'];
  return [
    // Gemini CLI refuses commands with a substitution.
    'for chats in ~/.gemini/tmp/*/chats; do',
    ...folders.map((at) => `rm -rf ${at}; mkdir -p ${at}`),
    ...folders.flatMap(pairs),
    ...folders.map((at) => `setsid -f perl -e '${program}' ${at} > /dev/null 2>&1 < /dev/null`),
    'done',
  ].join('\n');
}
