import type { EventDraft } from '../../schemas/event.ts';

const MASK = '[redacted]';

/** Masks every exact occurrence of the secrets. A net below the sandbox, not a wall: a secret in disguise passes. */
export type Redact = (text: string) => string;

export function createRedact(secrets: readonly (string | undefined)[]): Redact {
  const known = secrets.filter((secret) => secret !== undefined && secret !== '');
  return (text) => known.reduce<string>((masked, secret) => masked.replaceAll(String(secret), MASK), text);
}

/**
 * Masks secrets in a stream of events, also when a secret comes in pieces: text that may be the start of one is kept
 * until the next piece, or the next event of another type, tells.
 */
export function redactEvents(secrets: readonly (string | undefined)[], emit: (draft: EventDraft) => void) {
  const redact = createRedact(secrets);
  let held: { type: 'message.delta' | 'thought.delta'; text: string } | undefined;

  function flush(): void {
    if (held && held.text !== '') emit({ type: held.type, data: { text: held.text } });
    held = undefined;
  }

  return {
    push(draft: EventDraft): void {
      if (draft.type !== 'message.delta' && draft.type !== 'thought.delta') {
        flush();
        emit(draft);
        return;
      }
      if (held?.type !== draft.type) flush();
      const text = redact((held?.text ?? '') + draft.data.text);
      const keep = startOfSecret(text, secrets);
      if (keep < text.length) emit({ type: draft.type, data: { text: text.slice(0, text.length - keep) } });
      held = { type: draft.type, text: text.slice(text.length - keep) };
    },
    /** Gives out what was kept; call it when the stream ends. */
    flush,
  };
}

/** Length of the longest end of the text that is the start of a secret. */
function startOfSecret(text: string, secrets: readonly (string | undefined)[]): number {
  let longest = 0;
  for (const secret of secrets) {
    for (let length = Math.min((secret?.length ?? 0) - 1, text.length); length > longest; length -= 1) {
      if (secret?.startsWith(text.slice(-length))) longest = length;
    }
  }
  return longest;
}
