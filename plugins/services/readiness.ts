import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Ready } from '../../schemas/health.ts';
import { createModelAccess } from './model-access.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the server can carry out runs; the answer is at most a second old. */
    readiness(): Promise<Readiness>;
  }
}

type Readiness = Ready;
type Check = Ready['checks'][number];

/** Time for which an answer is good, in milliseconds: asking often must cost nothing. */
const FRESH_MS = 1000;
/** Time for which a sandbox that does not hold is not tried again, which takes processes. */
const SANDBOX_MS = 30_000;

/** `app.readiness()`. */
export default fp(
  async (app) => {
    app.decorate('readiness', createReadiness(app));
  },
  { name: 'readiness', dependencies: ['lifecycle', 'store', 'disk', 'agents', 'sandbox'] },
);

/**
 * Gives a function that says whether runs can be carried out. Anybody may ask, so what it says of a fault is a sentence of
 * ours; the log has the rest, once when a fault appears.
 */
function createReadiness(app: FastifyInstance): () => Promise<Readiness> {
  const { config, store, log } = app;
  const failing = new Set<string>();
  const modelAccess = createModelAccess(app.eventLog);
  const sandboxCheck = remember(SANDBOX_MS, () => app.sandbox.check());

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
    check(name, 'It cannot be written, or its disk is nearly full.', async () => {
      const { problem } = await app.disk.checkFolder(setting);
      if (problem !== undefined) throw problem;
    });

  async function look(): Promise<Readiness> {
    const checks = await Promise.all([
      check('server', 'It is stopping.', async () => {
        if (app.closing.aborted) throw new Error('the server is stopping');
      }),
      check('store', 'It cannot be written.', () => store.checkWritable()),
      folder('data folder', 'DATA_DIR'),
      folder('tickets folder', 'TICKETS_ROOT'),
      check('sandbox', 'It does not hold, so agents are not started; GET /v1/agents says why.', async () => {
        const result = await sandboxCheck();
        if (!result.ok) throw new Error(`${result.detail} ${result.remedy}`);
      }),
      check('agent', 'The default agent cannot work; GET /v1/agents says why.', async () => {
        const problem = await app.agents.check(config.AGENT);
        if (problem !== undefined) throw problem;
      }),
      check('model', 'It refused the key of the server not long ago.', async () => {
        if (modelAccess.refused()) throw new Error('a run of the last minutes ended with agent_auth');
      }),
    ]);
    return { status: checks.every(({ ok }) => ok) ? 'ok' : 'unavailable', checks };
  }

  return remember(FRESH_MS, look);
}

/** Gives the last answer again until it is `ms` old. */
function remember<T>(ms: number, ask: () => Promise<T>): () => Promise<T> {
  let last: { at: number; answer: Promise<T> } | undefined;
  return () => {
    const now = performance.now();
    if (last === undefined || now - last.at > ms) last = { at: now, answer: ask() };
    return last.answer;
  };
}
