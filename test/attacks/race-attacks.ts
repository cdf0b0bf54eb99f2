/** Where a race is run: a ticket whose agent swaps, and the ways to make the server read it. */
export type RaceArena = {
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

const OTHER_CARE = 'its program follows no link by itself; confinement is the second defence';

/** In this order, in one run; the last ones end it. */
export const RACE_ATTACKS: readonly RaceAttack[] = [
  { name: 'GET diff, by many readers', times: 12, attempt: (arena) => arena.diff() },
  { name: 'a backup, of files and of the conversation', times: 4, attempt: (arena) => arena.backup() },
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
  {
    name: 'the commit at the end of the run',
    times: 1,
    attempt: (arena) => arena.finish(),
    notProved: 'the swapping process has ended by then',
  },
  {
    name: 'the start of a process that loads the conversation',
    times: 1,
    attempt: (arena) => arena.load(),
    notProved: OTHER_CARE,
  },
  {
    name: 'a cancel, and the changes that it leaves',
    times: 1,
    attempt: async (arena) => (await arena.cancel()) + (await arena.diff()),
    notProved: 'the swapping process has ended by then',
  },
  { name: 'DELETE with force', times: 1, attempt: (arena) => arena.remove(), notProved: OTHER_CARE },
];

/** How many files, and how many folders, are swapped. */
const PAIRS = 24;
const RENAMEAT2 = { x64: 316, arm64: 276 };

/**
 * The shell command of the swaps: it prepares the pairs in the workspace and in the folder of the conversation, and leaves
 * the program in the background.
 * @param files outside, and folders outside with a `secret.txt`: absolute paths
 */
export function swapping(files: readonly string[], folders: readonly string[], arch = process.arch): string {
  const call = arch === 'arm64' ? RENAMEAT2.arm64 : RENAMEAT2.x64;
  const pair = (at: string, index: number, made: string, target: string) =>
    `${made.replaceAll('AT', `${at}/s${index}`)}; ln -s ${target} ${at}/t${index}`;
  const pairs = (at: string) =>
    Array.from({ length: PAIRS }, (_, index) => [
      pair(at, 2 * index, 'echo mine > AT', files[index % files.length] ?? ''),
      pair(at, 2 * index + 1, 'mkdir AT; echo mine > AT/secret.txt', folders[index % folders.length] ?? ''),
    ]).flat();
  // RENAME_EXCHANGE: at each moment there is one of the two.
  const program = `my $here = $ARGV[0]; while (1) { for my $n (0 .. ${2 * PAIRS - 1}) { my ($one, $other) = ("$here/s$n", "$here/t$n"); syscall(${call}, -100, $one, -100, $other, 2) } }`;
  return [
    'chats=$(echo ~/.gemini/tmp/*/chats); mkdir -p race $chats/race',
    ...pairs('race'),
    ...pairs('$chats/race'),
    ...['race', '$chats/race'].map((at) => `setsid -f perl -e '${program}' ${at} > /dev/null 2>&1 < /dev/null`),
  ].join('\n');
}
