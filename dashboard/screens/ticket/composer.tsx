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

const COMMANDS: readonly { action: Action; name: string; send: string; hint: string }[] = [
  { action: 'chat', name: 'Chat', send: 'Send', hint: 'Ask about the code. The agent changes nothing.' },
  { action: 'make_plan', name: 'Make plan', send: 'Make plan', hint: 'Instructions for the plan (optional)' },
  { action: 'dev', name: 'Dev', send: 'Start dev', hint: 'Instructions beyond the plan (optional)' },
];

/** Shows the form that starts a run. */
export function Composer({ ticket, onSent }: { ticket: Ticket; onSent(): void }) {
  const can = useCan();
  const commands = COMMANDS.filter(({ action }) => can(SCOPE_OF[action]));
  const [action, setAction] = useState<Action>('chat');
  const [message, setMessage, clearMessage] = useDraft(`message:${ticket.ticket_id}`);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  // A retry with the same content has the same idempotency key, so that it starts no second run.
  const last = useRef({ content: '', key: '' });
  const command = commands.find((known) => known.action === action) ?? commands[0];
  if (command === undefined) return null;
  const ready = !busy && ticket.state === 'ready' && (command.action !== 'chat' || message.trim() !== '');

  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!ready) return;
    const text = message.trim();
    const body = { action: command.action, ...(text === '' ? {} : { message: text }) };
    const content = JSON.stringify(body);
    if (last.current.content !== content) last.current = { content, key: crypto.randomUUID() };
    setBusy(true);
    setProblem(undefined);
    try {
      const params = { path: { ticket_id: ticket.ticket_id } };
      await unwrap(
        api.POST('/v1/tickets/{ticket_id}/runs', { params, body, headers: idempotencyHeader(last.current.key) }),
      );
      last.current = { content: '', key: '' };
      clearMessage();
      invalidate((path) => path === runsOf(ticket.ticket_id).key);
      onSent();
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
  };

  return (
    <form class="composer" aria-label="Start a run" onSubmit={(event) => void send(event)}>
      {problem !== undefined && <ProblemBox problem={problem} />}
      <textarea
        data-compose
        aria-label="Message"
        placeholder={command.hint}
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
          <legend class="hidden">Command</legend>
          {commands.map((known) => (
            <button
              key={known.action}
              type="button"
              aria-pressed={known.action === command.action}
              onClick={() => setAction(known.action)}
            >
              {known.name}
            </button>
          ))}
        </fieldset>
        <span class="muted hint-key">Ctrl Enter</span>
        <button type="submit" class="primary" disabled={!ready}>
          {command.send}
        </button>
      </div>
    </form>
  );
}
