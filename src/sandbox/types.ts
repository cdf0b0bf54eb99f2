import type { Server } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { AppError } from '../errors/app-error.ts';
import type { SocketForward } from './socket-forward.ts';

/** A file or folder of the host, and its absolute path in the sandbox. */
export type Mount = { host: string; inside: string };

/**
 * The home of a sandboxed process: an empty temporary folder with mounts. `readOnly` lists paths relative to `folder`.
 * `writable` maps paths in the home to folders of the host, whose content persists.
 */
export type SandboxHome = {
  folder: string;
  readOnly?: readonly string[];
  writable?: Readonly<Record<string, string>>;
};

export type SandboxRequest = {
  /** Program and arguments, with paths of the sandbox. No secrets: every user of the host can read them. */
  argv: readonly [string, ...string[]];
  /** Variables in addition to PATH, HOME and LANG. */
  env?: Readonly<Record<string, string>>;
  /** Host folder that becomes the working directory. */
  workspace: string;
  /** Whether the workspace is writable. Its `.git` never is. */
  writable: boolean;
  home?: SandboxHome;
  /** Additional read-only mounts. */
  mounts?: readonly Mount[];
  /** The git directory of the workspace and its mirror, both read-only at their own paths. */
  git?: { dir: string; mirror: string };
  /** Servers that the process can reach, in addition to the hosts of EGRESS_ALLOW. */
  forwards?: readonly SocketForward[];
  /** Receives a sentence about each refused connection. */
  onDenied?: (text: string) => void;
  /** Receives `workspace_too_large` just before the sandbox is killed. */
  onQuotaExceeded?: (error: AppError) => void;
};

export type Exit = {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Set when the kernel killed a process because the sandbox exceeded this memory limit. */
  outOfMemory?: { limitMib: number };
};

export type SandboxedProcess = {
  /** Host process id of the sandbox, not of the program in it. */
  pid: number;
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  /** Resolves when the program has exited, even while its descendants keep the pipes open. */
  exited: Promise<Exit>;
  /** Kills the program and its descendants; resolves when they have exited. */
  kill(): Promise<void>;
};

/** A command on the host that runs a request. */
export type Command = {
  file: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  /** Contents of file descriptors 3, 4 and so on. */
  inputs: readonly Uint8Array[];
};

/** A way to confine processes, or none. */
export type Confinement = {
  kind: 'bubblewrap' | 'none';
  path(mount: Mount): string;
  layout(request: { workspace: string; home: string }): Layout;
  /**
   * Lets a server listen where sandboxes can reach it and, if possible, no other process can.
   * @param port loopback port inside, where the confinement can choose it
   */
  forward(server: Server, port: number): Promise<SocketForward>;
  /** @param processMib limit in MiB for the data of each process; default: none */
  command(request: SandboxRequest, processMib?: number): Promise<Command>;
};

/** Absolute paths in the sandbox. */
export type Layout = { workspace: string; home: string; node: string };
