import type { EventDraft } from '../../schemas/event.ts';
import { AppError } from '../errors/app-error.ts';

/** Running tool calls that are remembered. */
const MAX_TOOLS = 1000;

export type Silence = ReturnType<typeof watchSilence>;

/**
 * Ends what says nothing any more. An agent is silent when it neither tells of anything nor calls its model, while no
 * tool call of it is under way: those take as long as they take, within the time of the run. Waiting that was announced
 * does not count, nor does the time in which a person is asked.
 * @param onSilence called once, after `seconds` of silence
 */
export function watchSilence(seconds: number, onSilence: (error: AppError) => void) {
  const tools = new Set<string>();
  let holds = 0;
  let timer: NodeJS.Timeout | undefined;

  function listen(extraSeconds = 0): void {
    clearTimeout(timer);
    if (tools.size > 0 || holds > 0) return;
    timer = setTimeout(fallSilent, (seconds + extraSeconds) * 1000);
  }

  function fallSilent(): void {
    const detail = `The agent and its model said nothing for ${seconds} s (AGENT_SILENCE_SECONDS).`;
    const remedy = 'Try again; raise AGENT_SILENCE_SECONDS if the model thinks for that long.';
    onSilence(new AppError('timed_out', detail, { remedy }));
  }

  return {
    /** The agent told something. */
    hear(event: EventDraft): void {
      if (event.type === 'tool.started' || event.type === 'tool.updated') {
        const { tool_call_id, status } = event.data;
        if (status === 'completed' || status === 'failed') tools.delete(tool_call_id);
        else if (tools.size < MAX_TOOLS) tools.add(tool_call_id);
      }
      listen();
    },

    /** The agent calls its model, so it is done with its tools, also with those whose end it did not tell. */
    hearCall(): void {
      tools.clear();
      listen();
    },

    /** A call is tried again after some seconds. */
    expect(waitSeconds: number): void {
      listen(waitSeconds);
    },

    /** Does not count the time that a task takes: a person is asked, for example. */
    async hold<T>(task: () => Promise<T>): Promise<T> {
      holds += 1;
      listen();
      try {
        return await task();
      } finally {
        holds -= 1;
        listen();
      }
    },

    end(): void {
      holds += 1;
      clearTimeout(timer);
    },
  };
}
