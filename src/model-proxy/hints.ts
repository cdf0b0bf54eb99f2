import type { LimitWatch } from './limits.ts';
import type { Conversation, Note } from './model-api.ts';

/** How often the same failing call of a tool is noticed, and how often in one turn. */
const REPEATED = 3;
const MAX_ADVICE = 3;

/** What the agent is told while it works. Each returns the words. */
export type NoteSource = {
  /** Called once, when a limit is near. */
  onLimitNear(limit: { setting: string; detail: string }): string;
  /** Called when the agent has made the same call of a tool several times in a row, and it failed in the same way. */
  onRepeatedFailure(call: string, times: number): string;
};

/**
 * ACP has no way to speak to an agent that is at work, and to cancel its turn makes Gemini CLI forget all of it. So what
 * is to be told is put into the calls of its model: into each from then on, at the same place, since the agent itself
 * does not keep it.
 */
export function createNotes(source: NoteSource, limits: LimitWatch) {
  const notes: Note[] = [];
  let warned = false;
  let advised = 0;
  let failures = 0;

  return {
    /** What the agent is to be told in a call of its model. */
    of({ entries, repeated }: Conversation): readonly Note[] {
      const after = entries.length;
      const near = warned ? undefined : limits.near();
      if (near) {
        warned = true;
        notes.push({ after, text: source.onLimitNear(near) });
      }
      if (repeated && advised < MAX_ADVICE && repeated.times % REPEATED === 0 && repeated.times !== failures) {
        advised += 1;
        notes.push({ after, text: source.onRepeatedFailure(repeated.call, repeated.times) });
      }
      failures = repeated?.times ?? 0;
      return notes;
    },
  };
}
