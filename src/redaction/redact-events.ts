import type { EventDraft } from '../../schemas/event.ts';
import type { MaskedStream } from './masked-stream.ts';
import type { Redactor } from './redactor.ts';

/** Takes the events of one run, each as it comes, and gives the events to tell instead. */
export type EventRedaction = {
  redact(draft: EventDraft): EventDraft[];
  /** One that goes on from here by itself. */
  copy(): EventRedaction;
};

/**
 * Masks secrets in the events of one run, also when one comes in pieces: an end of a message that may be the beginning
 * of a secret is held until the next event, of whatever type.
 */
export function redactEvents(redactor: Redactor): EventRedaction {
  return redactionFrom(redactor, { 'message.delta': redactor.stream(), 'thought.delta': redactor.stream() });
}

function redactionFrom(
  redactor: Redactor,
  streams: Record<'message.delta' | 'thought.delta', MaskedStream>,
): EventRedaction {
  function flush(type: keyof typeof streams): EventDraft[] {
    return delta(type, streams[type].flush());
  }

  return {
    redact(draft) {
      if (draft.type === 'message.delta') {
        return [...flush('thought.delta'), ...delta(draft.type, streams[draft.type].push(draft.data.text))];
      }
      if (draft.type === 'thought.delta') {
        return [...flush('message.delta'), ...delta(draft.type, streams[draft.type].push(draft.data.text))];
      }
      return [...flush('message.delta'), ...flush('thought.delta'), redactor.value(draft)];
    },

    copy: () =>
      redactionFrom(redactor, {
        'message.delta': streams['message.delta'].copy(),
        'thought.delta': streams['thought.delta'].copy(),
      }),
  };
}

function delta(type: 'message.delta' | 'thought.delta', text: string): EventDraft[] {
  return text === '' ? [] : [{ type, data: { text } }];
}
