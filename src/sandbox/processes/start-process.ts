import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import type { Command, Exit, SandboxedProcess } from '../types.ts';

/** Longest wait for the pipes of a killed process: a daemon that left its group may hold them for ever. */
const PIPE_CLOSE_TIMEOUT_MS = 1000;

/**
 * Starts a command with pipes for stdin, stdout and stderr, in a process group of its own.
 * @throws the system's error, such as ENOENT, when it cannot be started
 */
export async function startProcess({ file, args, env, cwd, inputs }: Command): Promise<SandboxedProcess> {
  const child = execa(file, args, {
    cwd,
    env,
    extendEnv: false,
    stdio: ['pipe', 'pipe', 'pipe', ...inputs],
    buffer: false,
    reject: false,
    // The whole group gets the signal, and nothing less than SIGKILL: agents ignore the others.
    killDescendants: true,
    killSignal: 'SIGKILL',
  });
  // Not the promise of execa: it waits for the pipes, which whatever the process started may hold open.
  const { pid, stdin, stdout, stderr, nodeChildProcess } = child;
  const exited = new Promise<Exit>((resolve) => {
    nodeChildProcess.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const closed = new Promise((resolve) => {
    nodeChildProcess.once('close', resolve);
  });
  await once(nodeChildProcess, 'spawn');
  if (pid === undefined) throw new Error('The process has no id.');
  // Writing to a process that has just ended is no error of the server; `exited` tells.
  stdin.on('error', () => {});

  return {
    pid,
    stdin,
    stdout,
    stderr,
    exited,
    async kill() {
      child.kill();
      await exited;
      await Promise.race([closed, pause(PIPE_CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
      for (const stream of [stdin, stdout, stderr]) stream.destroy();
    },
  };
}
