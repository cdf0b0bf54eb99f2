import fp from 'fastify-plugin';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { recordMeasurements } from '../../../src/telemetry/record-measurements.ts';
import { createRunMetrics } from '../../../src/telemetry/run-metrics.ts';
import { measureRequests } from './requests.ts';
import { createSample } from './sample.ts';

declare module 'fastify' {
  interface FastifyInstance {
    metrics: {
      /** All metrics as they are now, in the text format of Prometheus. */
      text(): Promise<string>;
      contentType: string;
    };
  }
}

/**
 * `app.metrics`. Runs are measured by observing the log of events, requests by a hook that the routes after this plugin
 * get, the rest by what modules say they measured; states are looked up when somebody asks.
 */
export default fp<{ version: string }>(
  async (app, { version }) => {
    const metrics = createMetrics(version);
    const observe = createRunMetrics(metrics, (runId) => app.store.runs.get(runId));
    app.eventLog.observe((runId, events) => {
      try {
        observe(runId, events);
      } catch (error) {
        app.log.error({ err: error, run_id: runId }, 'events of a run were not measured');
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
