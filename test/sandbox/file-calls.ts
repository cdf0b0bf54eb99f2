import { readFile } from 'node:fs/promises';
import { isAbsolute, join, normalize } from 'node:path';

/**
 * The view of the file system that a process has: that of the host, that of bubblewrap while it mounts (the host is at `/oldroot`), or
 * that of a sandbox.
 */
export type View = 'host' | 'mounting' | 'sandbox';

export type FileCall = {
  pid: number;
  /** Name of the program, such as `git`. */
  program: string;
  view: View;
  call: string;
  /** Absolute, in the view; of an open also the path that it led to. */
  paths: readonly string[];
  /** Whether a link at the end of the path is left as it is. */
  follows: boolean;
  /** As strace printed it. */
  line: string;
};

/** With `-D` the traced command stays the child of whoever starts it, and gets the signals. */
export function straceCommand(log: string): string[] {
  // The filter of --seccomp-bpf stops a process for these calls alone; that of a sandbox, which denies, comes before it.
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

/** Waits until strace has written the end of a process, and reads all that it wrote. */
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
 * Reads the calls on files from what `straceCommand` wrote, in their order.
 * @param cwd of the first process
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
      // As the parent is now; what it does later is its own.
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

/** The calls of a trace at the place where each began: strace writes one in two parts when another process comes between. */
function tracedCalls(trace: string): Traced[] {
  const calls: Traced[] = [];
  const unfinished = new Map<number, Traced>();
  for (const line of trace.split('\n')) {
    const [, id, text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const pid = Number(id);
    const rest = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)?.[1];
    if (rest !== undefined) {
      const begun = unfinished.get(pid);
      if (begun) begun.text += rest;
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

/** The process that a clone(2) made, by its id in the namespace of strace. */
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

/** A string as strace prints it: C escapes, of which octal ones are bytes. */
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
