import type { EventDraft } from '../../schemas/event.ts';
import type { MaskedStream } from './masked-stream.ts';
import type { Redactor } from './redactor.ts';

/** Redacts the events of one run, in their order. */
export type EventRedaction = {
  /** Returns the events to append instead. */
  redact(draft: EventDraft): EventDraft[];
  /** Returns an independent redaction in the same state. */
  copy(): EventRedaction;
};

/**
 * Masks secrets in the events of one run, even if a secret is split between messages. The end of a message that may be the
 * start of a secret is held back until the next event of any type.
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
