import type { LimitTracker } from './limits.ts';
import type { Conversation, Hint } from './model-api.ts';
import type { ModelTurn } from './model-turn.ts';

/** Identical failures in a row that cause a hint, and most such hints in one turn. */
const FAILURES_PER_HINT = 3;
const MAX_FAILURE_HINTS = 3;
/** Longest tool call in a hint, in characters. */
const MAX_CALL_CHARS = 300;

/**
 * Creates the hints of one turn. ACP cannot send a message to a working agent, and Gemini CLI forgets a canceled turn. So the proxy
 * adds hints to model calls. The agent does not store them: each later call gets them again, at the same position.
 * @param redact masks secrets
 * @returns the hints for the conversation of a call
 */
export function createHints(
  { hints: texts, notify }: ModelTurn,
  limits: LimitTracker,
  redact: (text: string) => string,
) {
  const hints: Hint[] = [];
  let isLimitNear = false;
  let failureHints = 0;
  let lastTimes = 0;

  return function hintsFor({ entries, repeatedFailure }: Conversation): readonly Hint[] {
    const after = entries.length;
    const limit = isLimitNear ? undefined : limits.near();
    if (limit) {
      isLimitNear = true;
      notify({ type: 'limitNear', limit });
      hints.push({ after, text: texts.limitNear(limit) });
    }
    const times = repeatedFailure?.times ?? 0;
    if (repeatedFailure && times % FAILURES_PER_HINT === 0 && times !== lastTimes && failureHints < MAX_FAILURE_HINTS) {
      failureHints += 1;
      // Redacted first: a cut could leave half of a secret.
      const call = redact(repeatedFailure.call).slice(0, MAX_CALL_CHARS);
      notify({ type: 'repeatedFailure', call, times });
      hints.push({ after, text: texts.repeatedFailure(call, times) });
    }
    lastTimes = times;
    return hints;
  };
}
