import { join } from 'node:path';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import { createBubblewrap } from './bubblewrap.ts';
import { type RunLimits, type RunResult, runProcess } from './run-process.ts';
import { type SandboxCheck, testConfinement } from './self-test.ts';
import { startProcess } from './start-process.ts';
import type { Confinement, SandboxedProcess, SandboxRequest } from './types.ts';
import { createUnconfined } from './unconfined.ts';

export type Sandbox = Pick<Confinement, 'kind' | 'path' | 'layout'> & {
  /** Whether sandboxes hold on this machine, found out by starting some; a good answer is kept. */
  check(): Promise<SandboxCheck>;
  /** @throws AppError `agent_unavailable` when the sandbox does not hold or the program cannot be started */
  spawn(request: SandboxRequest): Promise<SandboxedProcess>;
  /**
   * Carries out one command from start to end.
   * @throws AppError like `spawn`, and the reason of the signal when that is aborted
   */
  run(request: SandboxRequest & RunLimits): Promise<RunResult>;
};

export type SandboxDependencies = {
  config: Pick<Config, 'SANDBOX' | 'DATA_DIR' | 'TICKETS_ROOT'>;
  /** Environment of the server; without a sandbox its PATH is passed on. */
  parentEnv?: Readonly<Record<string, string | undefined>>;
};

/** The place where agents and the commands of repositories run. Bubblewrap, unless `SANDBOX=none` asks for no walls. */
export function createSandbox({ config, parentEnv = {} }: SandboxDependencies): Sandbox {
  const confinement = config.SANDBOX === 'none' ? createUnconfined(parentEnv) : createBubblewrap(config);
  let checked: Promise<SandboxCheck> | undefined;

  async function check(): Promise<SandboxCheck> {
    if (confinement.kind === 'none') return { ok: true };
    checked ??= testConfinement(confinement, join(config.DATA_DIR, 'tmp'));
    const result = await checked;
    // The operator may mend it while the server runs.
    if (!result.ok) checked = undefined;
    return result;
  }

  async function spawn(request: SandboxRequest): Promise<SandboxedProcess> {
    const result = await check();
    if (!result.ok) throw new AppError('agent_unavailable', result.detail, { remedy: result.remedy });
    const command = await confinement.command(request);
    try {
      return await startProcess(command);
    } catch (cause) {
      throw new AppError('agent_unavailable', `The program ${command.file} cannot be started.`, { cause });
    }
  }

  return {
    kind: confinement.kind,
    path: confinement.path,
    layout: confinement.layout,
    check,
    spawn,
    async run(request) {
      request.signal?.throwIfAborted();
      return runProcess(await spawn(request), request);
    },
  };
}
