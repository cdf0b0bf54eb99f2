import type { Dispatcher } from './dispatcher.ts';
import type { QueueEstimates } from './queue-estimates.ts';
import type { AttemptDeps } from './run-context.ts';
import type { RunQueries } from './run-queries.ts';

/** The parts of the engine that submission and cancellation use. */
export type EngineContext = AttemptDeps & { dispatcher: Dispatcher; estimates: QueueEstimates; queries: RunQueries };
