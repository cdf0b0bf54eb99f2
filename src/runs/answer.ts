import type { EventDraft } from '../../schemas/event.ts';

/** Longest answer that is kept whole, as long as the longest plan. */
const MAX_ANSWER_CHARS = 262_144;

/**
 * Collects the text of a turn, one segment for each stretch between tool calls. Keeps the end of a longer text; the events of
 * the run hold all of it.
 */
export function createAnswer() {
  const segments: string[] = [];
  let length = 0;
  let isOpen = false;

  function trim(): void {
    while (length > MAX_ANSWER_CHARS) {
      const [first = ''] = segments;
      const kept = first.slice(length - MAX_ANSWER_CHARS);
      length += kept.length - first.length;
      if (kept === '' && segments.length > 1) segments.shift();
      else segments[0] = kept;
    }
  }

  return {
    add(draft: EventDraft): void {
      if (draft.type === 'message.delta') {
        const { text } = draft.data;
        segments.push((isOpen ? (segments.pop() ?? '') : '') + text);
        length += text.length;
        isOpen = true;
        // Not for each delta: it copies the whole text.
        if (length > 2 * MAX_ANSWER_CHARS) trim();
      } else if (draft.type === 'tool.started') {
        isOpen = false;
      }
    },

    segments(): string[] {
      trim();
      return segments;
    },
  };
}
