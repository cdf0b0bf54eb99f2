import { readFile } from 'node:fs/promises';
import { isAbsolute, join, normalize } from 'node:path';

/**
 * The view that a process has of the file system: the host, bubblewrap while it mounts (with the host at `/oldroot`), or a
 * sandbox.
 */
export type View = 'host' | 'mounting' | 'sandbox';

export type FileCall = {
  pid: number;
  /** Name of the program, such as `git`. */
  program: string;
  view: View;
  call: string;
  /** Absolute paths in the view; for an open, also the resolved path. */
  paths: readonly string[];
  /** Whether the call follows a link at the end of the path. */
  follows: boolean;
  /** As strace printed it. */
  line: string;
};

/** Returns the strace command. With `-D`, the traced command stays a child of its starter and receives the signals. */
export function straceCommand(log: string): string[] {
  // --seccomp-bpf stops a process for these calls only. The filter of a sandbox denies calls before that.
  const calls = 'trace=%file,%process,pivot_root,fchdir';
  return [
    'strace',
    '-D',
    '-f',
    '-q',
    '-y',
    '-s',
    '4096',
    '--seccomp-bpf',
    '--pidns-translation',
    '-e',
    calls,
    '-o',
    log,
  ];
}

/** Waits until strace has logged the exit of a process, and returns the log. */
export async function readTrace(log: string, pid: number | undefined): Promise<string> {
  for (;;) {
    const text = await readFile(log, 'utf8');
    if (new RegExp(`^${pid} +\\+\\+\\+ `, 'm').test(text)) return text;
  }
}

/** Calls that never follow a link at the end of a path. */
const NOT_FOLLOWING =
  /^(lstat|lchown|readlink|readlinkat|mkdir|mkdirat|rmdir|unlink|unlinkat|rename|renameat2?|link|symlink|symlinkat)$/;
const TWO_PATHS = /^(rename|renameat2?|link|linkat|mount)$/;
const SYMLINK = /^symlink(at)?$/;
const CLONE = /^(clone3?|v?fork)$/;
const WITH_PATH = /(?:(?:AT_FDCWD|\d+)<((?:[^\\>]|\\.)*)>, )?"((?:[^"\\]|\\.)*)"/g;

type Process = { parent: Process | undefined; pivots: number; cwd: string; program: string };
type Traced = { index: number; pid: number; call: string; text: string };

/**
 * Parses the file calls from a log of `straceCommand`, in order.
 * @param cwd working folder of the first process
 */
export function fileCalls(trace: string, cwd: string): FileCall[] {
  const processes = new Map<number, Process>();
  const found: FileCall[] = [];
  const calls = tracedCalls(trace);
  const parents = new Map(
    calls.flatMap(({ pid, call, text }) => (CLONE.test(call) ? [[child(text), pid] as const] : [])),
  );

  function processOf(pid: number): Process {
    const known = processes.get(pid);
    if (known) return known;
    const parentPid = parents.get(pid);
    const parent = parentPid === undefined ? undefined : processOf(parentPid);
    const made = { parent, pivots: parent?.pivots ?? 0, cwd: parent?.cwd ?? cwd, program: parent?.program ?? 'strace' };
    processes.set(pid, made);
    return made;
  }

  for (const { pid, call, text } of calls) {
    const process = processOf(pid);
    if (CLONE.test(call)) {
      // The child inherits the present state of its parent, not later changes.
      processOf(child(text));
      continue;
    }
    const succeeded = !/ = (-1|\?)/.test(text);
    const paths = pathsOf(call, text, process.cwd);
    const view = (['host', 'mounting'] as const)[process.pivots] ?? 'sandbox';
    if (call === 'execve' && succeeded) process.program = paths[0]?.split('/').at(-1) ?? '';
    if (paths.length > 0) {
      const follows = !NOT_FOLLOWING.test(call) && !/\b(AT_SYMLINK_NOFOLLOW|O_NOFOLLOW|O_EXCL)\b/.test(text);
      found.push({ pid, program: process.program, view, call, paths, follows, line: text });
    }
    if (call === 'chdir' && succeeded) process.cwd = paths[0] ?? process.cwd;
    if (call === 'fchdir' && succeeded) process.cwd = /^fchdir\(\d+<(.*)>\)/.exec(text)?.[1] ?? process.cwd;
    if (call === 'pivot_root' && succeeded) process.pivots += 1;
  }
  return found;
}

/** Orders the calls of a trace by their start: strace splits a call in two lines when another process runs in between. */
function tracedCalls(trace: string): Traced[] {
  const calls: Traced[] = [];
  const unfinished = new Map<number, Traced>();
  for (const line of trace.split('\n')) {
    const [, id, text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const pid = Number(id);
    const tail = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)?.[1];
    if (tail !== undefined) {
      const started = unfinished.get(pid);
      if (started) started.text += tail;
      continue;
    }
    const call = /^(\w+)\(/.exec(text)?.[1];
    if (call === undefined) continue;
    const traced = { index: calls.length, pid, call, text: text.replace(/ <unfinished \.\.\.>$/, '') };
    if (traced.text !== text) unfinished.set(pid, traced);
    calls.push(traced);
  }
  return calls;
}

/** Returns the process that a clone(2) created, by its id in the namespace of strace. */
function child(text: string): number {
  const [, pid, translated] = / = (\d+)(?: \/\* (\d+) in strace's PID NS \*\/)?$/.exec(text) ?? [];
  return Number(translated ?? pid);
}

function pathsOf(call: string, text: string, cwd: string): string[] {
  const given = [...text.matchAll(WITH_PATH)].map(([, folder, path = '']) => ({ folder, path: decode(path) }));
  const [from, to] = SYMLINK.test(call) ? [1, 2] : [0, TWO_PATHS.test(call) ? 2 : 1];
  const named = given.slice(from, to).filter(({ path }) => path !== '');
  const paths = named.map(({ folder, path }) => (isAbsolute(path) ? path : join(decode(folder ?? cwd), path)));
  const opened = /^(open|openat|openat2|creat)$/.test(call) ? / = \d+<(\/.*)>$/.exec(text)?.[1] : undefined;
  return [...paths, ...(opened === undefined ? [] : [decode(opened)])].map(normalize);
}

/** Decodes a string that strace printed with C escapes; octal escapes are bytes. */
function decode(text: string): string {
  return text.replace(/\\(?:([0-7]{1,3})|(.))/g, (_, octal, character) =>
    octal === undefined ? (ESCAPES.get(character) ?? character) : String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

const ESCAPES = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
  ['v', '\v'],
  ['f', '\f'],
]);
