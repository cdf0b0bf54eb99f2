import type { EventDraft } from '../../schemas/event.ts';

/** Longest answer of a turn that is kept as a whole, in characters: as much as a plan may have. */
const MAX_ANSWER = 262_144;

/**
 * Collects what an agent says in a turn, one text for each stretch between tool calls. Of a very long one the last words are
 * kept; the events of the run have them all.
 */
export function createAnswer() {
  const segments: string[] = [];
  let length = 0;
  let talking = false;

  function cut(): void {
    while (length > MAX_ANSWER) {
      const [first = ''] = segments;
      const kept = first.slice(length - MAX_ANSWER);
      length += kept.length - first.length;
      if (kept === '' && segments.length > 1) segments.shift();
      else segments[0] = kept;
    }
  }

  return {
    /** Takes an event of the turn. */
    take(draft: EventDraft): void {
      if (draft.type === 'message.delta') {
        const { text } = draft.data;
        segments.push((talking ? (segments.pop() ?? '') : '') + text);
        length += text.length;
        talking = true;
        // Not with each piece: to cut takes as long as all of it.
        if (length > 2 * MAX_ANSWER) cut();
      } else if (draft.type === 'tool.started') {
        talking = false;
      }
    },

    /** Returns the texts so far. */
    segments(): string[] {
      cut();
      return segments;
    },
  };
}
