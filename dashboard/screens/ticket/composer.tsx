import { useRef, useState } from 'preact/hooks';
import { unwrap } from '../../../client/client.ts';
import type { Problem } from '../../../schemas/problem.ts';
import type { Action } from '../../../schemas/run.ts';
import type { Ticket } from '../../../schemas/ticket.ts';
import { ProblemBox } from '../../components/feedback.tsx';
import { api, idempotencyHeader } from '../../lib/api.ts';
import { asProblem } from '../../lib/problem.ts';
import { runsOf } from '../../lib/queries.ts';
import { invalidate } from '../../lib/resource.ts';
import { SCOPE_OF, useCan } from '../../lib/session.ts';
import { useDraft } from '../../lib/use-draft.ts';

const CHOICES: readonly { action: Action; name: string; send: string; hint: string }[] = [
  { action: 'chat', name: 'Chat', send: 'Ask', hint: 'Ask about the code. Nothing is changed.' },
  { action: 'make_plan', name: 'Make plan', send: 'Make plan', hint: 'What the plan should mind, if anything.' },
  { action: 'dev', name: 'Dev', send: 'Start dev', hint: 'What to mind beside the plan, if anything.' },
];

/** Where one writes to the agent. */
export function Composer({ ticket, onSent }: { ticket: Ticket; onSent(): void }) {
  const can = useCan();
  const choices = CHOICES.filter(({ action }) => can(SCOPE_OF[action]));
  const [action, setAction] = useState<Action>('chat');
  const [message, setMessage, clearMessage] = useDraft(`message:${ticket.ticket_id}`);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  // The same message sent again after a lost answer starts no second run.
  const key = useRef({ for: '', key: '' });
  const choice = choices.find((known) => known.action === action) ?? choices[0];
  if (choice === undefined) return null;
  const { name: _, ...chosen } = choice;
  const ready = !busy && ticket.state === 'ready' && (chosen.action !== 'chat' || message.trim() !== '');

  async function send(event: Event): Promise<void> {
    event.preventDefault();
    if (!ready) return;
    const text = message.trim();
    const body = { action: chosen.action, ...(text === '' ? {} : { message: text }) };
    const what = JSON.stringify(body);
    if (key.current.for !== what) key.current = { for: what, key: crypto.randomUUID() };
    setBusy(true);
    setProblem(undefined);
    try {
      const params = { path: { ticket_id: ticket.ticket_id } };
      await unwrap(
        api.POST('/v1/tickets/{ticket_id}/runs', { params, body, headers: idempotencyHeader(key.current.key) }),
      );
      key.current = { for: '', key: '' };
      clearMessage();
      invalidate((path) => path === runsOf(ticket.ticket_id).key);
      onSent();
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
  }

  return (
    <form class="composer" aria-label="Write to the agent" onSubmit={(event) => void send(event)}>
      {problem !== undefined && <ProblemBox problem={problem} />}
      <textarea
        data-compose
        aria-label="Message"
        placeholder={choice.hint}
        rows={2}
        readOnly={busy}
        value={message}
        onInput={(event) => setMessage(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void send(event);
        }}
      />
      <div class="composer-bar">
        <fieldset class="segments">
          <legend class="hidden">What the agent is to do</legend>
          {choices.map((known) => (
            <button
              key={known.action}
              type="button"
              aria-pressed={known.action === choice.action}
              onClick={() => setAction(known.action)}
            >
              {known.name}
            </button>
          ))}
        </fieldset>
        <span class="muted hint-key">Ctrl Enter</span>
        <button type="submit" class="primary" disabled={!ready}>
          {choice.send}
        </button>
      </div>
    </form>
  );
}
