import fp from 'fastify-plugin';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { recordMeasurements } from '../../../src/telemetry/record-measurements.ts';
import { createRunMetrics } from '../../../src/telemetry/run-metrics.ts';
import { measureRequests } from './requests.ts';
import { createSample } from './sample.ts';

declare module 'fastify' {
  interface FastifyInstance {
    metrics: {
      /** Returns all metrics in the text format of Prometheus. */
      text(): Promise<string>;
      contentType: string;
    };
  }
}

/**
 * Decorates `app.metrics`. The event log measures runs, a hook measures requests of the routes registered after this plugin,
 * and modules emit all other measurements. Gauges of states are sampled at each scrape.
 */
export default fp<{ version: string }>(
  async (app, { version }) => {
    const metrics = createMetrics(version);
    const observe = createRunMetrics(metrics, (runId) => app.store.runs.get(runId));
    app.eventLog.observe((runId, events) => {
      try {
        observe(runId, events);
      } catch (error) {
        app.log.error({ err: error, run_id: runId }, 'failed to measure the events of a run');
      }
    });
    measureRequests(app, metrics);
    const stopRecording = recordMeasurements(metrics);
    app.addHook('onClose', async () => stopRecording());

    const sample = createSample(app, metrics);
    app.decorate('metrics', {
      async text() {
        await sample();
        return metrics.registry.metrics();
      },
      contentType: metrics.registry.contentType,
    });
  },
  { name: 'metrics', dependencies: ['config', 'store'] },
);
