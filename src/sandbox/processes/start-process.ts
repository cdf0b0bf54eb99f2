import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import type { Command, Exit, SandboxedProcess } from '../types.ts';

/** Limit for the pipes of a killed process, which a daemon that left the process group may keep open. */
const PIPE_CLOSE_TIMEOUT_MS = 1000;

/**
 * Starts a command with pipes for stdin, stdout and stderr, in a new process group.
 * @throws system errors, such as ENOENT, when it cannot be started
 */
export async function startProcess({ file, args, env, cwd, inputs }: Command): Promise<SandboxedProcess> {
  const child = execa(file, args, {
    cwd,
    env,
    extendEnv: false,
    stdio: ['pipe', 'pipe', 'pipe', ...inputs],
    buffer: false,
    reject: false,
    // SIGKILL to the whole group: agents ignore other signals.
    killDescendants: true,
    killSignal: 'SIGKILL',
  });
  // execa's promise would also wait for the pipes, which descendants may keep open.
  const { pid, stdin, stdout, stderr, nodeChildProcess } = child;
  const exited = new Promise<Exit>((resolve) => {
    nodeChildProcess.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const closed = new Promise((resolve) => {
    nodeChildProcess.once('close', resolve);
  });
  await once(nodeChildProcess, 'spawn');
  if (pid === undefined) throw new Error('The process has no id.');
  // Ignore writes to a process that has just exited; `exited` reports the exit.
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
