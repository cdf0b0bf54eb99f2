import { createLabelLimiter } from './label-limiter.ts';
import { type Measurements, measurements } from './measurements.ts';
import type { Metrics } from './metrics.ts';

/** Model names that become labels. An agent can request any name. */
const MAX_MODELS = 20;

/**
 * Updates metrics from measurements.
 * @returns stops the updates
 */
export function recordMeasurements(metrics: Metrics): () => void {
  const modelLabel = createLabelLimiter(MAX_MODELS);

  const listeners = {
    git({ command, outcome, seconds }: Measurements['git'][0]) {
      metrics.gitDuration.observe({ operation: command, outcome }, seconds);
    },
    agentStart({ agent, kind, seconds }: Measurements['agentStart'][0]) {
      metrics.agentStarts.inc({ agent, kind });
      if (kind === 'cold') metrics.agentStartDuration.observe({ agent }, seconds);
    },
    modelCall({ model, status, seconds }: Measurements['modelCall'][0]) {
      const label = modelLabel(model);
      metrics.modelCalls.inc({ model: label, status });
      metrics.modelCallDuration.observe({ model: label }, seconds);
    },
    tokens({ model, usage }: Measurements['tokens'][0]) {
      const label = modelLabel(model);
      metrics.tokens.inc({ model: label, kind: 'input' }, usage.input_tokens);
      metrics.tokens.inc({ model: label, kind: 'output' }, usage.output_tokens);
      metrics.tokens.inc({ model: label, kind: 'cached' }, usage.cached_tokens);
    },
    commit({ writes, seconds }: Measurements['commit'][0]) {
      metrics.commitDuration.observe(seconds);
      metrics.commitWrites.observe(writes);
    },
  };

  measurements
    .on('git', listeners.git)
    .on('agentStart', listeners.agentStart)
    .on('modelCall', listeners.modelCall)
    .on('tokens', listeners.tokens)
    .on('commit', listeners.commit);
  return () => {
    measurements
      .off('git', listeners.git)
      .off('agentStart', listeners.agentStart)
      .off('modelCall', listeners.modelCall)
      .off('tokens', listeners.tokens)
      .off('commit', listeners.commit);
  };
}
