import type { EventDraft } from '../../schemas/event.ts';
import type { Redactor } from './redactor.ts';

/**
 * Masks secrets in the events of one run, also when one comes in pieces: an end of a message that may be the beginning
 * of a secret is held until the next event, of whatever type.
 * @returns a function that takes each event and gives the events to tell instead
 */
export function redactEvents(redactor: Redactor): (draft: EventDraft) => EventDraft[] {
  const streams = { 'message.delta': redactor.stream(), 'thought.delta': redactor.stream() };

  function flush(type: keyof typeof streams): EventDraft[] {
    return delta(type, streams[type].flush());
  }

  return (draft) => {
    if (draft.type === 'message.delta') {
      return [...flush('thought.delta'), ...delta(draft.type, streams[draft.type].push(draft.data.text))];
    }
    if (draft.type === 'thought.delta') {
      return [...flush('message.delta'), ...delta(draft.type, streams[draft.type].push(draft.data.text))];
    }
    return [...flush('message.delta'), ...flush('thought.delta'), redactor.value(draft)];
  };
}

function delta(type: 'message.delta' | 'thought.delta', text: string): EventDraft[] {
  return text === '' ? [] : [{ type, data: { text } }];
}
