import type { EventDraft } from '../../schemas/event.ts';
import { AppError } from '../errors/app-error.ts';

/** Running tool calls that the timer tracks. */
const MAX_TOOLS = 1000;

export type InactivityTimer = ReturnType<typeof createInactivityTimer>;

/**
 * Detects an agent that neither emits an event nor calls its model for a period. These times do not count:
 * - a running tool call, which only the time limit of the run stops;
 * - an announced wait (`extend`);
 * - a permission that waits for a person (`suspend`).
 * @param onTimeout called once, after `seconds` of inactivity
 */
export function createInactivityTimer(seconds: number, onTimeout: (error: AppError) => void) {
  const tools = new Set<string>();
  let suspensions = 0;
  let timer: NodeJS.Timeout | undefined;

  function arm(extraSeconds = 0): void {
    clearTimeout(timer);
    if (tools.size > 0 || suspensions > 0) return;
    timer = setTimeout(expire, (seconds + extraSeconds) * 1000);
  }

  function expire(): void {
    const detail = `The agent and its model were inactive for ${seconds} s (AGENT_SILENCE_SECONDS).`;
    const remedy = 'Try again. Raise AGENT_SILENCE_SECONDS if the model needs more time.';
    onTimeout(new AppError('timed_out', detail, { remedy }));
  }

  return {
    /** Restarts the timer after an event of the agent. */
    touch(event: EventDraft): void {
      if (event.type === 'tool.started' || event.type === 'tool.updated') {
        const { tool_call_id, status } = event.data;
        if (status === 'completed' || status === 'failed') tools.delete(tool_call_id);
        else if (tools.size < MAX_TOOLS) tools.add(tool_call_id);
      }
      arm();
    },

    /** Restarts the timer after a call of the model. All tools have finished then, even those without an event. */
    touchModel(): void {
      tools.clear();
      arm();
    },

    /** Adds the seconds until a call is retried. */
    extend: (waitSeconds: number): void => arm(waitSeconds),

    /** Suspends the timer during a task. */
    async suspend<T>(task: () => Promise<T>): Promise<T> {
      suspensions += 1;
      arm();
      try {
        return await task();
      } finally {
        suspensions -= 1;
        arm();
      }
    },

    stop(): void {
      suspensions += 1;
      clearTimeout(timer);
    },
  };
}
