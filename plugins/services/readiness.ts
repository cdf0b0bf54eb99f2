import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Ready } from '../../schemas/health.ts';
import { createModelAccess } from './model-access.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Checks whether the server can execute runs; the result is at most a second old. */
    readiness(): Promise<Readiness>;
  }
}

type Readiness = Ready;
type Check = Ready['checks'][number];

const CACHE_MS = 1000;
/** Longer, since the self-test starts processes. */
const SANDBOX_CACHE_MS = 30_000;

/** Decorates `app.readiness()`. */
export default fp(
  async (app) => {
    app.decorate('readiness', createReadiness(app));
  },
  { name: 'readiness', dependencies: ['lifecycle', 'store', 'disk', 'agents', 'sandbox'] },
);

/**
 * Returns a function that checks all that runs need. The result is public, so it describes a failure in a fixed sentence; the
 * log has the error, once when a check starts to fail.
 */
function createReadiness(app: FastifyInstance): () => Promise<Readiness> {
  const { config, store, log } = app;
  const failing = new Set<string>();
  const modelAccess = createModelAccess(app.eventLog);
  const sandboxCheck = cached(SANDBOX_CACHE_MS, () => app.sandbox.check());

  async function check(name: string, fault: string, probe: () => Promise<void>): Promise<Check> {
    try {
      await probe();
      if (failing.delete(name)) log.info({ check: name }, 'ready again');
      return { name, ok: true };
    } catch (error) {
      if (!failing.has(name)) log.error({ check: name, err: error }, 'not ready');
      failing.add(name);
      return { name, ok: false, detail: fault };
    }
  }

  const folder = (name: string, setting: 'DATA_DIR' | 'TICKETS_ROOT') =>
    check(name, 'The folder is not writable, or its disk is nearly full.', async () => {
      const { problem } = await app.disk.checkFolder(setting);
      if (problem !== undefined) throw problem;
    });

  async function checkAll(): Promise<Readiness> {
    const checks = await Promise.all([
      check('server', 'The server is stopping.', async () => {
        if (app.closing.aborted) throw new Error('the server is stopping');
      }),
      check('store', 'The store is not writable.', () => store.checkWritable()),
      folder('data folder', 'DATA_DIR'),
      folder('tickets folder', 'TICKETS_ROOT'),
      check('sandbox', 'The self-test failed, so no agent starts; see GET /v1/agents.', async () => {
        const result = await sandboxCheck();
        if (!result.ok) throw new Error(`${result.detail} ${result.remedy}`);
      }),
      check('agent', 'The default agent is not available; see GET /v1/agents.', async () => {
        const problem = await app.agents.check(config.AGENT);
        if (problem !== undefined) throw problem;
      }),
      check('model', 'The model API refused the key of the server in the last minutes.', async () => {
        if (modelAccess.refused()) throw new Error('a recent run failed with agent_auth');
      }),
    ]);
    return { status: checks.every(({ ok }) => ok) ? 'ok' : 'unavailable', checks };
  }

  return cached(CACHE_MS, checkAll);
}

/** Caches the result of a function for `ms` milliseconds. */
function cached<T>(ms: number, compute: () => Promise<T>): () => Promise<T> {
  let last: { at: number; result: Promise<T> } | undefined;
  return () => {
    const now = performance.now();
    if (last === undefined || now - last.at > ms) last = { at: now, result: compute() };
    return last.result;
  };
}
