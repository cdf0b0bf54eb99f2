import { abortable, canceled } from './abortable.ts';

export type CallOptions<Progress> = {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
};

type Flight<Want, Result, Progress> = {
  callers: Set<{ want: Want; onProgress: ((progress: Progress) => void) | undefined }>;
  controller: AbortController;
  result: Promise<Result>;
};

/**
 * Shares one execution of `task` among all callers of a key. A call during an execution joins the next one, since the result
 * of the running one could be older than the call. An execution is aborted when its last caller gives up.
 * @returns runs `task`, or joins it; throws AppError `canceled`, or the signal's reason when that is an AppError
 */
export function createSingleFlight<Want, Result, Progress>(
  task: (
    wants: readonly Want[],
    options: { signal: AbortSignal; onProgress: (progress: Progress) => void },
  ) => Promise<Result>,
): (key: string, want: Want, options: CallOptions<Progress>) => Promise<Result> {
  type Queue = { last: Promise<void>; next: Flight<Want, Result, Progress> | undefined };
  const queues = new Map<string, Queue>();

  function schedule(key: string): Flight<Want, Result, Progress> {
    const queue = queues.get(key) ?? { last: Promise.resolve(), next: undefined };
    queues.set(key, queue);
    if (queue.next && !queue.next.controller.signal.aborted) return queue.next;

    const before = queue.last;
    const callers: Flight<Want, Result, Progress>['callers'] = new Set();
    const controller = new AbortController();
    const execute = async () => {
      await before;
      if (queue.next === flight) queue.next = undefined;
      if (controller.signal.aborted) throw canceled(controller.signal);
      const onProgress = (progress: Progress) => {
        for (const caller of callers) caller.onProgress?.(progress);
      };
      const wants = [...callers].map((caller) => caller.want);
      return task(wants, { signal: controller.signal, onProgress });
    };
    const flight = { callers, controller, result: execute() };
    queue.next = flight;
    const finished = flight.result.then(doNothing, doNothing);
    queue.last = finished;
    void finished.then(() => queue.last === finished && queues.delete(key));
    return flight;
  }

  return async (key, want, options) => {
    const flight = schedule(key);
    const caller = { want, onProgress: options.onProgress };
    flight.callers.add(caller);
    try {
      return await abortable(flight.result, options.signal);
    } finally {
      flight.callers.delete(caller);
      if (flight.callers.size === 0) flight.controller.abort();
    }
  };
}

function doNothing(): void {}
