import { abortable, canceled } from './abortable.ts';

export type JoinOptions<Progress> = {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
};

type Flight<Want, Result, Progress> = {
  members: Set<{ want: Want; onProgress: ((progress: Progress) => void) | undefined }>;
  controller: AbortController;
  result: Promise<Result>;
};

/**
 * Many callers, one piece of work at a time per key. Who comes while one is under way shares the next one, never the
 * present one: its answer could be older than the question. The work is aborted when its last caller has gone.
 */
export function createSingleFlight<Want, Result, Progress>(
  fly: (
    wants: readonly Want[],
    options: { signal: AbortSignal; onProgress: (progress: Progress) => void },
  ) => Promise<Result>,
): (key: string, want: Want, options: JoinOptions<Progress>) => Promise<Result> {
  type Lane = { last: Promise<void>; waiting: Flight<Want, Result, Progress> | undefined };
  const lanes = new Map<string, Lane>();

  function schedule(key: string): Flight<Want, Result, Progress> {
    const lane = lanes.get(key) ?? { last: Promise.resolve(), waiting: undefined };
    lanes.set(key, lane);
    if (lane.waiting && !lane.waiting.controller.signal.aborted) return lane.waiting;

    const before = lane.last;
    const members: Flight<Want, Result, Progress>['members'] = new Set();
    const controller = new AbortController();
    const takeOff = async () => {
      await before;
      if (lane.waiting === flight) lane.waiting = undefined;
      if (controller.signal.aborted) throw canceled(controller.signal);
      const onProgress = (progress: Progress) => {
        for (const member of members) member.onProgress?.(progress);
      };
      const wants = [...members].map((member) => member.want);
      return fly(wants, { signal: controller.signal, onProgress });
    };
    const flight = { members, controller, result: takeOff() };
    lane.waiting = flight;
    const settled = flight.result.then(doNothing, doNothing);
    lane.last = settled;
    void settled.then(() => lane.last === settled && lanes.delete(key));
    return flight;
  }

  return async (key, want, options) => {
    const flight = schedule(key);
    const member = { want, onProgress: options.onProgress };
    flight.members.add(member);
    try {
      return await abortable(flight.result, options.signal);
    } finally {
      flight.members.delete(member);
      if (flight.members.size === 0) flight.controller.abort();
    }
  };
}

function doNothing(): void {}
