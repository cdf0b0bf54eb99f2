import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Upper bounds of histogram buckets, in seconds. */
const COMMIT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const COMMAND_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const WAIT_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 900, 3600];
const RUN_SECONDS = [0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];

/** Gauges of the library with names of counters. The library also has each under a correct name. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * Creates the metrics of the server and of its process (`process_*`, `nodejs_*`) in a new registry. Names and units follow
 * https://prometheus.io/docs/practices/naming/. Every label has a small, fixed set of values.
 */
export function createMetrics(version: string) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);

  const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Counter({ name: `pullwright_${name}`, help, labelNames, registers });
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Gauge({ name: `pullwright_${name}`, help, labelNames, registers });
  const histogram = <Label extends string>(name: string, help: string, buckets: number[], ...labelNames: Label[]) =>
    new Histogram({ name: `pullwright_${name}`, help, buckets, labelNames, registers });

  gauge('build_info', 'Version of the server; always 1.', 'version').set({ version }, 1);

  return {
    registry,

    runs: gauge('runs', 'Unfinished runs.', 'state', 'action'),
    runsEnded: counter('runs_ended_total', 'Finished runs.', 'action', 'outcome'),
    runErrors: counter('run_errors_total', 'Runs that finished with an error, by error code.', 'code'),
    runDuration: histogram(
      'run_duration_seconds',
      'Duration of runs, all attempts together.',
      RUN_SECONDS,
      'action',
      'outcome',
    ),
    queueWait: histogram(
      'run_queue_wait_seconds',
      'Time from the request of a run to its first start.',
      WAIT_SECONDS,
      'action',
    ),
    firstEvent: histogram(
      'run_first_event_seconds',
      'Time from the request of a run to the first output of its agent: a thought, a text or a tool call.',
      WAIT_SECONDS,
      'action',
    ),
    firstText: histogram(
      'run_first_text_seconds',
      'Time from the request of a run to the first text of its agent.',
      WAIT_SECONDS,
      'action',
    ),
    stepDuration: histogram('step_duration_seconds', 'Duration of the steps of runs.', RUN_SECONDS, 'step'),
    events: counter('events_total', 'Events that attempts of runs have appended.'),

    agentStarts: counter(
      'agent_starts_total',
      'Turns by origin of their agent: the agent of the ticket (warm), a spare one (spare), one prestarted for an approved plan (early), a new one (cold), or none (failed).',
      'agent',
      'kind',
    ),
    agentStartDuration: histogram(
      'agent_start_duration_seconds',
      'Duration of cold starts of agents.',
      WAIT_SECONDS,
      'agent',
    ),
    agentProcesses: gauge(
      'agent_processes',
      'Processes of agents: working, idle with their ticket, prestarted for an approved plan (early), or spare.',
      'state',
    ),
    agentMemory: gauge('agent_memory_bytes', 'Memory of all agents.'),
    tokens: counter('tokens_total', 'Tokens used; cached tokens are part of the input.', 'model', 'kind'),
    modelCalls: counter(
      'model_calls_total',
      'Calls to the model, by HTTP status, unreachable or broken_off.',
      'model',
      'status',
    ),
    modelCallDuration: histogram(
      'model_call_duration_seconds',
      'Duration of calls to the model, up to the end of the answer.',
      WAIT_SECONDS,
      'model',
    ),

    gitDuration: histogram(
      'git_command_duration_seconds',
      'Duration of git commands of the server.',
      COMMAND_SECONDS,
      'operation',
      'outcome',
    ),
    commitDuration: histogram(
      'store_commit_duration_seconds',
      'Duration of transactions of the store.',
      COMMIT_SECONDS,
    ),
    commitWrites: histogram('store_commit_writes', 'Writes per transaction of the store.', [1, 2, 5, 10, 20, 50, 100]),

    requests: counter('http_requests_total', 'Answered requests.', 'method', 'route', 'status'),
    requestDuration: histogram(
      'http_request_duration_seconds',
      'Duration of requests; event streams do not count.',
      COMMAND_SECONDS,
      'method',
      'route',
    ),
    connections: gauge('http_connections', 'Open client connections.'),
    streams: gauge('event_streams', 'Open event streams.'),

    diskFree: gauge('disk_free_bytes', 'Free space that the server can use.', 'folder'),
    diskSize: gauge('disk_size_bytes', 'Size of the file system.', 'folder'),
    ready: gauge('ready', 'Whether a check of /readyz succeeds (1) or fails (0).', 'check'),
  };
}
