import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Bounds of buckets, in seconds. */
const QUICK = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const COMMAND = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const WAIT = [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 900, 3600];
const LONG = [0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];

/** Gauges of the library that are called like counters; each has a successor. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * The metrics of the server in a registry of their own, with those of the process (`process_*`, `nodejs_*`). Names and
 * units follow https://prometheus.io/docs/practices/naming/; labels take values of fixed, small sets only.
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

    runs: gauge('runs', 'Runs that have not ended; those in the state queued are the queue.', 'state', 'action'),
    runsEnded: counter('runs_ended_total', 'Runs that have ended.', 'action', 'outcome'),
    runErrors: counter('run_errors_total', 'Runs that ended with an error, by its code.', 'code'),
    runDuration: histogram('run_duration_seconds', 'Time that the attempts at a run took.', LONG, 'action', 'outcome'),
    queueWait: histogram('run_queue_wait_seconds', 'Time from request to first start of a run.', WAIT, 'action'),
    firstEvent: histogram(
      'run_first_event_seconds',
      'Time from the request of a run to the first sign of its agent: a thought, a text or a tool call.',
      WAIT,
      'action',
    ),
    firstText: histogram(
      'run_first_text_seconds',
      'Time from the request of a run to the first text of its agent.',
      WAIT,
      'action',
    ),
    stepDuration: histogram('step_duration_seconds', 'Time that steps of runs took.', LONG, 'step'),
    events: counter('events_total', 'Events that were appended to the log by attempts of runs.'),

    agentStarts: counter(
      'agent_starts_total',
      'Turns that found an agent of their ticket (warm), of a new one (spare) or of an approved plan (early), started one (cold), or got none (failed).',
      'agent',
      'kind',
    ),
    agentStartDuration: histogram(
      'agent_start_duration_seconds',
      'Time that cold starts of agents took.',
      WAIT,
      'agent',
    ),
    agentProcesses: gauge(
      'agent_processes',
      'Processes of agents: at work, idle with their ticket, started early for an approved plan, spare.',
      'state',
    ),
    agentMemory: gauge('agent_memory_bytes', 'Memory of all agents.'),
    tokens: counter('tokens_total', 'Tokens used; cached ones are part of the input.', 'model', 'kind'),
    modelCalls: counter(
      'model_calls_total',
      'Calls of the model, by status of HTTP, unreachable or broken_off.',
      'model',
      'status',
    ),
    modelCallDuration: histogram(
      'model_call_duration_seconds',
      'Time from a call of the model to the end of its answer.',
      WAIT,
      'model',
    ),

    gitDuration: histogram(
      'git_command_duration_seconds',
      'Time that git commands of the server took.',
      COMMAND,
      'operation',
      'outcome',
    ),
    commitDuration: histogram('store_commit_duration_seconds', 'Time until a transaction was durable.', QUICK),
    commitWrites: histogram('store_commit_writes', 'Writes that shared a transaction.', [1, 2, 5, 10, 20, 50, 100]),

    requests: counter('http_requests_total', 'Requests that were answered.', 'method', 'route', 'status'),
    requestDuration: histogram(
      'http_request_duration_seconds',
      'Time until a request was answered; streams of events do not count.',
      COMMAND,
      'method',
      'route',
    ),
    connections: gauge('http_connections', 'Open connections of clients.'),
    streams: gauge('event_streams', 'Open streams of events.'),

    diskFree: gauge('disk_free_bytes', 'Space that the server may still use.', 'folder'),
    diskSize: gauge('disk_size_bytes', 'Size of the file system.', 'folder'),
    ready: gauge('ready', 'Whether a check of /readyz holds (1) or not (0).', 'check'),
  };
}
