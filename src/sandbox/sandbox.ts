import { basename } from 'node:path';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import { createBubblewrap } from './bubblewrap/bubblewrap.ts';
import { type CgroupCheck, createCgroups } from './cgroup/cgroup.ts';
import { type Confine, createConfine } from './confined/confine.ts';
import { watchDiskQuota } from './disk-quota.ts';
import { createEgressProxy } from './egress/egress-proxy.ts';
import { createIdentities, type Identities } from './identity.ts';
import { giveToOwnerOf } from './ownership.ts';
import { type RunLimits, type RunResult, runProcess } from './processes/run-process.ts';
import { startProcess } from './processes/start-process.ts';
import { MAX_PROCESSES } from './resource-limits.ts';
import { type SandboxCheck, testConfinement } from './self-test/self-test.ts';
import type { SocketForward } from './socket-forward.ts';
import type { Confinement, SandboxedProcess, SandboxRequest } from './types.ts';
import { createUnconfined } from './unconfined.ts';

/** Loopback port of the egress proxy in a sandbox. */
const EGRESS_PORT = 41_702;

/** Minimum data limit of a process when no cgroup limits the sandbox. Node reserves much more than it uses. */
const MIN_PROCESS_MIB = 4096;

export type Sandbox = Pick<Confinement, 'kind' | 'path' | 'layout' | 'forward'> & {
  /** Runs the self-test in real sandboxes. A success is cached. */
  check(): Promise<SandboxCheck>;
  /** Checks whether cgroups can limit each sandbox as a whole. Otherwise memory is limited for each process. */
  checkLimits(): Promise<CgroupCheck>;
  /** @throws AppError `agent_unavailable` when the self-test fails or the program cannot be started */
  spawn(request: SandboxRequest): Promise<SandboxedProcess>;
  /**
   * Runs a command to its end.
   * @throws AppError like `spawn`, `workspace_too_large`; the reason of the signal when it is aborted
   */
  run(request: SandboxRequest & RunLimits): Promise<RunResult>;
  /** Confines the server's own programs that work on files which an agent can write. */
  confine: Confine;
  identities: Identities;
};

export type SandboxDependencies = {
  config: Pick<
    Config,
    'SANDBOX' | 'SANDBOX_UIDS' | 'DATA_DIR' | 'TICKETS_ROOT' | 'EGRESS_ALLOW' | 'MAX_WORKSPACE_MB' | 'SANDBOX_MEMORY_MB'
  > &
    Partial<Pick<Config, 'SANDBOX_CPUS' | 'GEMINI_API_KEY' | 'GITHUB_TOKEN' | 'API_KEY'>>;
  /** Environment of the server. Unconfined programs inherit its PATH. */
  parentEnv?: Readonly<Record<string, string | undefined>>;
};

/** Creates the sandbox of agents and check commands: bubblewrap, or no isolation with `SANDBOX=none`. */
export function createSandbox({ config, parentEnv = {} }: SandboxDependencies): Sandbox {
  const identities = createIdentities(config);
  const confine = createConfine(config, identities, parentEnv);
  const confinement = config.SANDBOX === 'none' ? createUnconfined(parentEnv) : createBubblewrap(config, identities);
  const cgroups = createCgroups(config, MAX_PROCESSES);
  let checked: Promise<SandboxCheck> | undefined;

  async function check(): Promise<SandboxCheck> {
    if (confinement.kind === 'none') return { ok: true };
    checked ??= testConfinement(confinement, confine, identities, config);
    const result = await checked;
    // The operator may fix the machine while the server runs.
    if (!result.ok) checked = undefined;
    return result;
  }

  async function openEgress(onDenied: SandboxRequest['onDenied']): Promise<SocketForward | undefined> {
    // An unconfined process reaches the network anyway.
    if (confinement.kind === 'none' || config.EGRESS_ALLOW.length === 0) return undefined;
    return confinement.forward(createEgressProxy({ allow: config.EGRESS_ALLOW, onDenied }), EGRESS_PORT);
  }

  async function start(request: SandboxRequest): Promise<SandboxedProcess> {
    if (confinement.kind !== 'none') {
      for (const folder of Object.values(request.home?.writable ?? {})) {
        await giveToOwnerOf(confine, identities, request.workspace, folder);
      }
    }
    const inCgroup = confinement.kind === 'bubblewrap' && (await cgroups.check()).ok;
    const command = await confinement.command(
      request,
      inCgroup ? undefined : Math.max(MIN_PROCESS_MIB, config.SANDBOX_MEMORY_MB),
    );
    try {
      return await (inCgroup ? cgroups.start(command) : startProcess(command));
    } catch (cause) {
      if (cause instanceof AppError) throw cause;
      throw new AppError('agent_unavailable', `The program ${basename(command.file)} could not be started.`, { cause });
    }
  }

  function enforceQuota(request: SandboxRequest, child: SandboxedProcess): () => Promise<void> {
    if (!request.writable) return async () => {};
    const quota = {
      folders: [request.workspace, ...Object.values(request.home?.writable ?? {})],
      maxMib: config.MAX_WORKSPACE_MB,
    };
    return watchDiskQuota(confine, quota, (error) => {
      request.onQuotaExceeded?.(error);
      void child.kill();
    });
  }

  async function spawn(request: SandboxRequest): Promise<SandboxedProcess> {
    const result = await check();
    if (!result.ok) throw new AppError('agent_unavailable', result.detail, { remedy: result.remedy });
    const egress = await openEgress(request.onDenied);
    try {
      const forwards = [...(request.forwards ?? []), ...(egress ? [egress] : [])];
      const env = { ...request.env, ...(egress ? proxyVariables(egress.url) : {}) };
      const child = await start({ ...request, forwards, env });
      const stopQuota = enforceQuota(request, child);
      const closed = child.exited.then(async () => {
        await stopQuota();
        await egress?.close();
      });
      return {
        ...child,
        async kill() {
          await child.kill();
          await closed;
        },
      };
    } catch (error) {
      await egress?.close();
      throw error;
    }
  }

  return {
    kind: confinement.kind,
    path: confinement.path,
    layout: confinement.layout,
    forward: confinement.forward,
    check,
    confine,
    identities,
    checkLimits: cgroups.check,
    spawn,
    async run(request) {
      request.signal?.throwIfAborted();
      const excess = new AbortController();
      const signal = AbortSignal.any([excess.signal, ...(request.signal ? [request.signal] : [])]);
      const child = await spawn({ ...request, onQuotaExceeded: (error) => excess.abort(error) });
      return runProcess(child, { ...request, signal });
    },
  };
}

/** Sets each variable in both cases, because programs differ. */
function proxyVariables(url: string): Record<string, string> {
  const variables = { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: 'localhost,127.0.0.1,::1' };
  return Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) => [
      [name, value],
      [name.toLowerCase(), value],
    ]),
  );
}
