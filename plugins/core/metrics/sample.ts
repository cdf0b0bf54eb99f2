import { promisify } from 'node:util';
import type { FastifyInstance } from 'fastify';
import { diskSpace } from '../../../src/files/disk-space.ts';
import type { Metrics } from '../../../src/telemetry/metrics.ts';

/** Returns a function that updates the gauges of states; logs a gauge that it cannot update. */
export function createSample(app: FastifyInstance, metrics: Metrics): () => Promise<void> {
  const { config, server, store } = app;
  const countConnections = promisify(server.getConnections.bind(server));

  async function sampleRuns(): Promise<void> {
    metrics.runs.reset();
    for (const state of ['queued', 'running', 'waiting'] as const) {
      for (const action of ['chat', 'make_plan', 'dev'] as const) metrics.runs.set({ state, action }, 0);
    }
    for (const { state, action, count } of await store.runs.countOpen()) metrics.runs.set({ state, action }, count);
  }

  async function sampleDisk(folder: string, path: string): Promise<void> {
    metrics.diskFree.remove({ folder });
    metrics.diskSize.remove({ folder });
    const { free, size } = await diskSpace(path);
    metrics.diskFree.set({ folder }, free);
    metrics.diskSize.set({ folder }, size);
  }

  async function sampleReadiness(): Promise<void> {
    for (const { name, ok } of (await app.readiness()).checks) metrics.ready.set({ check: name }, ok ? 1 : 0);
  }

  async function sampleAgents(): Promise<void> {
    const { memory_mb, ...states } = await app.agents.pool();
    for (const [state, count] of Object.entries(states)) metrics.agentProcesses.set({ state }, count);
    metrics.agentMemory.set(memory_mb * 1024 ** 2);
  }

  return async () => {
    metrics.streams.set(app.openStreams());
    const samples = await Promise.allSettled([
      sampleRuns(),
      sampleDisk('data', config.DATA_DIR),
      sampleDisk('tickets', config.TICKETS_ROOT),
      sampleReadiness(),
      sampleAgents(),
      countConnections().then((count) => metrics.connections.set(count)),
    ]);
    for (const sample of samples) {
      if (sample.status === 'rejected') app.log.warn({ err: sample.reason }, 'failed to sample a metric');
    }
  };
}
