import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { abortable } from '../../concurrency/abortable.ts';
import type { Config } from '../../config/load-config.ts';
import type { Logger } from '../../config/logger.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import type { AgentDefinition, AgentSettings, Launch } from '../agent-definition.ts';

/** Path of the cache in a sandbox, and name of the folder in the home of the process that creates it. */
const MOUNT = '/opt/compile-cache';
const OUTPUT = 'compile-cache';
const NO_MODEL = { url: 'http://127.0.0.1:9', token: 'none' };

export type CompileCache = ReturnType<typeof createCompileCache>;

type Deps = {
  config: AgentSettings & Pick<Config, 'AGENT_START_SECONDS' | 'DATA_DIR'>;
  sandbox: Sandbox;
  redactor: Redactor;
  logger: Logger | undefined;
};

/**
 * Creates the store of Node's compile caches, which make agents start faster:
 * https://nodejs.org/api/module.html#module-compile-cache
 * All agents execute the code in a cache, so no agent of a ticket may write it. The server creates it by starting the agent once
 * without workspace, model or ticket, and mounts it read-only.
 */
export function createCompileCache(deps: Deps) {
  const { config, sandbox, logger } = deps;
  const root = join(config.DATA_DIR, 'agent-compile-cache');
  const folderOf = (definition: AgentDefinition) =>
    join(root, `${definition.name}-${definition.version()}-node-${process.version}`);

  async function create(definition: AgentDefinition, signal: AbortSignal): Promise<void> {
    const scratch = join(config.DATA_DIR, 'tmp', `compile-${randomUUID()}`);
    try {
      const output = await runOnce(deps, definition, scratch, signal);
      if ((await readdir(output)).length === 0) throw new Error('The agent wrote no compile cache.');
      await rm(root, { recursive: true, force: true });
      await mkdir(root, { mode: 0o700 });
      await rename(output, folderOf(definition));
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }

  return {
    /** Creates the cache of the installed agent if it is missing. Never fails: agents also start without a cache. */
    async ensure(definition: AgentDefinition, signal: AbortSignal): Promise<void> {
      try {
        if (existsSync(folderOf(definition)) || (await definition.check(config)) !== undefined) return;
        const startedAt = performance.now();
        const timeout = AbortSignal.timeout(config.AGENT_START_SECONDS * 1000);
        await create(definition, AbortSignal.any([signal, timeout]));
        logger?.info({ duration_ms: Math.round(performance.now() - startedAt) }, 'compile cache created');
      } catch (err) {
        if (!signal.aborted) logger?.warn({ err }, 'failed to create compile cache');
      }
    },

    /** Returns the launch with the cache mounted, or unchanged without a cache. */
    addTo(definition: AgentDefinition, launch: Launch): Launch {
      const host = folderOf(definition);
      if (sandbox.kind === 'none' || !existsSync(host)) return launch;
      return {
        ...launch,
        env: { ...launch.env, NODE_COMPILE_CACHE: MOUNT },
        mounts: [...(launch.mounts ?? []), { host, inside: MOUNT }],
      };
    },
  };
}

/** Starts and stops an agent in a scratch folder. @returns the folder with its compile cache */
async function runOnce(
  { config, sandbox, redactor }: Deps,
  definition: AgentDefinition,
  scratch: string,
  signal: AbortSignal,
): Promise<string> {
  const [workspace, conversation] = [join(scratch, 'workspace'), join(scratch, 'conversation')];
  await mkdir(workspace, { recursive: true });
  await sandbox.identities.assign(workspace);
  await mkdir(conversation);
  const context = { config, mode: 'read', sandbox, workspace, conversation, model: NO_MODEL } as const;
  const launch = await definition.prepareLaunch(context);
  const layout = sandbox.layout({ workspace, home: launch.home.folder });
  const output = join(launch.home.folder, OUTPUT);
  await mkdir(output);
  const child = await sandbox.spawn({
    ...launch,
    env: { ...launch.env, NODE_COMPILE_CACHE: join(layout.home, OUTPUT) },
    home: { ...launch.home, writable: { ...launch.home.writable, [OUTPUT]: output } },
    workspace,
    writable: false,
  });
  try {
    const { connectAgent } = await import('../acp/session.ts');
    const root = layout.workspace;
    const options = { process: child, definition, mode: 'read', root, redactor, asked: [] } as const;
    const connection = await abortable(connectAgent(options), signal);
    await abortable(connection.open(undefined), signal);
    // Node writes the cache when the process exits by itself.
    child.stdin.end();
    await abortable(child.exited, signal);
  } finally {
    await child.kill();
  }
  return output;
}
