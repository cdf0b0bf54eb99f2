import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { abortable } from '../../concurrency/abortable.ts';
import type { Config } from '../../config/load-config.ts';
import type { Logger } from '../../config/logger.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import type { AgentDefinition, Launch } from '../agent-definition.ts';

/** Where a starting agent finds the cache, and where the run that makes it puts it, in its home. */
const INSIDE = '/opt/compile-cache';
const MADE = 'compile-cache';
const NOBODY = { url: 'http://127.0.0.1:9', token: 'nobody' };

export type CompileCache = ReturnType<typeof createCompileCache>;

/**
 * The compiled code of an agent's program, which spares a starting one to compile it anew:
 * https://nodejs.org/api/module.html#module-compile-cache
 * What is in it is executed by all agents, so no agent of a ticket may write it: it is made by a run of the agent with no
 * workspace, no model and nothing of any ticket, and only read from then on.
 */
export function createCompileCache(deps: {
  config: Config;
  sandbox: Sandbox;
  redactor: Redactor;
  logger: Logger | undefined;
}) {
  const { config, sandbox, redactor, logger } = deps;
  const root = join(config.DATA_DIR, 'agent-compile-cache');
  const folderOf = (definition: AgentDefinition) =>
    join(root, `${definition.name}-${definition.version()}-node-${process.version}`);

  async function make(definition: AgentDefinition, signal: AbortSignal): Promise<void> {
    const scratch = join(config.DATA_DIR, 'tmp', `compile-${randomUUID()}`);
    const [workspace, conversation] = [join(scratch, 'workspace'), join(scratch, 'conversation')];
    try {
      await mkdir(workspace, { recursive: true });
      await sandbox.identities.assign(workspace);
      await mkdir(conversation);
      const context = { config, mode: 'read', sandbox, workspace, conversation, model: NOBODY } as const;
      const launch = await definition.prepareLaunch(context);
      const { folder } = launch.home;
      const { workspace: mounted, home } = sandbox.layout({ workspace, home: folder });
      await mkdir(join(folder, MADE));
      const child = await sandbox.spawn({
        ...launch,
        env: { ...launch.env, NODE_COMPILE_CACHE: join(home, MADE) },
        home: { ...launch.home, writable: { ...launch.home.writable, [MADE]: join(folder, MADE) } },
        workspace,
        writable: false,
      });
      try {
        const { connectAgent } = await import('../acp/session.ts');
        const options = { process: child, definition, mode: 'read', root: mounted, redactor, asked: [] } as const;
        const connection = await abortable(connectAgent(options), signal);
        await abortable(connection.open(undefined), signal);
        // It writes the cache when it ends by itself.
        child.stdin.end();
        await abortable(child.exited, signal);
      } finally {
        await child.kill();
      }
      if ((await readdir(join(folder, MADE))).length === 0) throw new Error('The run left no compile cache.');
      await rm(root, { recursive: true, force: true });
      await mkdir(root, { mode: 0o700 });
      await rename(join(folder, MADE), folderOf(definition));
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }

  return {
    /** Makes the cache of the installed agent if it is not there. Does not fail: without it, starts take a little longer. */
    async ready(definition: AgentDefinition, signal: AbortSignal): Promise<void> {
      try {
        if (existsSync(folderOf(definition)) || (await definition.check(config)) !== undefined) return;
        const begun = performance.now();
        const late = AbortSignal.timeout(config.AGENT_START_SECONDS * 1000);
        await make(definition, AbortSignal.any([signal, late]));
        logger?.info({ duration_ms: Math.round(performance.now() - begun) }, 'compile cache made');
      } catch (err) {
        if (!signal.aborted) logger?.warn({ err }, 'no compile cache was made');
      }
    },

    /** The launch with the cache, if it is there. */
    addTo(definition: AgentDefinition, launch: Launch): Launch {
      const host = folderOf(definition);
      if (sandbox.kind === 'none' || !existsSync(host)) return launch;
      return {
        ...launch,
        env: { ...launch.env, NODE_COMPILE_CACHE: INSIDE },
        mounts: [...(launch.mounts ?? []), { host, inside: INSIDE }],
      };
    },
  };
}
