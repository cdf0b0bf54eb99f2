import type { Server } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { AppError } from '../errors/app-error.ts';
import type { SocketForward } from './socket-forward.ts';

/** A file or folder of the host, and the absolute path at which a sandboxed process finds it. */
export type Mount = { host: string; inside: string };

/**
 * The home of a sandboxed process: empty, but for `readOnly`, paths of `folder` (relative to it), and for `writable`, folders
 * of the host by their path in the home. Only what is written there stays.
 */
export type SandboxHome = {
  folder: string;
  readOnly?: readonly string[];
  writable?: Readonly<Record<string, string>>;
};

export type SandboxRequest = {
  /** Program and arguments as the process inside sees them. Anyone on the host can read them: no secrets. */
  argv: readonly [string, ...string[]];
  /** Variables beside PATH, HOME and LANG. */
  env?: Readonly<Record<string, string>>;
  /** Folder of the host that the process works in. */
  workspace: string;
  /** Whether it may write there; its `.git` it may never write. */
  writable: boolean;
  home?: SandboxHome;
  /** What it can read besides. */
  mounts?: readonly Mount[];
  /** The git directory of the workspace and the mirror that this borrows objects from: it can read both at their own paths. */
  git?: { dir: string; mirror: string };
  /** What it can reach over the network; beside the hosts of EGRESS_ALLOW there is nothing else. */
  forwards?: readonly SocketForward[];
  /** Called with a sentence for each connection to the outside that was refused. */
  onDenied?: (text: string) => void;
  /** Called when the workspace has grown too large, just before all is ended. */
  onQuotaExceeded?: (error: AppError) => void;
};

export type Exit = {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Set when the kernel killed a process of the sandbox because all of them together exceeded this limit of memory. */
  outOfMemory?: { limitMib: number };
};

export type SandboxedProcess = {
  /** Id on the host: of the sandbox, not of the program in it. */
  pid: number;
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  /** Settles when the program has ended, even while something it started holds the pipes. */
  exited: Promise<Exit>;
  /** Ends the program and all that it started, at once; resolves when they are gone. */
  kill(): Promise<void>;
};

/** What to start on the host so that a request is carried out. */
export type Command = {
  file: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  /** What the process finds on file descriptor 3 and those that follow. */
  inputs: readonly Uint8Array[];
};

/** One way to confine a process, or not to. */
export type Confinement = {
  kind: 'bubblewrap' | 'none';
  path(mount: Mount): string;
  layout(request: { workspace: string; home: string }): Layout;
  /**
   * Lets a server listen where sandboxed processes can reach it, and if possible nobody else.
   * @param port loopback port at which they find it, where the confinement can choose
   */
  forward(server: Server, port: number): Promise<SocketForward>;
  /** @param processMib limit in MiB of the data of each process; none when left out */
  command(request: SandboxRequest, processMib?: number): Promise<Command>;
};

/** Absolute paths as the process inside sees them. */
export type Layout = { workspace: string; home: string; node: string };
