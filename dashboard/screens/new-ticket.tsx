import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { unwrap } from '../../client/client.ts';
import type { Problem } from '../../schemas/problem.ts';
import { Dialog } from '../components/dialog.tsx';
import { ProblemBox } from '../components/feedback.tsx';
import { api, idempotencyHeader } from '../lib/api.ts';
import { asProblem, INVALID_FORMAT } from '../lib/problem.ts';
import { useDraft } from '../lib/use-draft.ts';

type Field = 'ticket_id' | 'repo_url' | 'title' | 'description' | 'base_branch';

/** Creates a ticket. The server validates the values, and its messages appear below the fields. */
export function NewTicket({ onClose }: { onClose(): void }) {
  const { route } = useLocation();
  const [stored, setStored, clearDraft] = useDraft('new-ticket');
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const values: Partial<Record<Field, string>> = stored === '' ? {} : JSON.parse(stored);
  const errors = new Map((problem?.errors ?? []).map(({ path, message }) => [path.slice(1), message]));
  if (problem?.code === 'repo_url_invalid') errors.set('repo_url', problem.detail);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      const ticket = await unwrap(api.POST('/v1/tickets', { body: ticketOf(values), headers: idempotencyHeader() }));
      clearDraft();
      onClose();
      route(`/dashboard/tickets/${ticket.ticket_id}`);
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  }

  function field(name: Field, label: string, hint: string, required = false) {
    const error = errors.get(name);
    const props = {
      id: name,
      name,
      required,
      readOnly: busy,
      value: values[name] ?? '',
      autoComplete: 'off',
      'aria-invalid': error !== undefined,
      'aria-describedby': `${name}-hint`,
      onInput: ({ currentTarget }: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) =>
        setStored(JSON.stringify({ ...values, [name]: currentTarget.value })),
    };
    return (
      <div class="field">
        <label for={name}>
          {label} {!required && <span class="muted">optional</span>}
        </label>
        {name === 'description' ? <textarea rows={4} {...props} /> : <input type="text" {...props} />}
        <div id={`${name}-hint`} class={error === undefined ? 'muted hint' : 'hint wrong'}>
          {error === undefined || error === INVALID_FORMAT ? hint : error}
        </div>
      </div>
    );
  }

  return (
    <Dialog title="New ticket" onClose={onClose}>
      <form class="fields" onSubmit={(event) => void submit(event)}>
        {field('ticket_id', 'Ticket id', 'Letters, digits and inner hyphens, such as REL-123.', true)}
        {field('repo_url', 'Repository', 'https://github.com/OWNER/REPO', true)}
        {field('title', 'Title', 'Also the title of the pull request.')}
        {field('description', 'Description', 'The agent receives it with every command.')}
        {field('base_branch', 'Base branch', 'The default branch of the repository if empty.')}
        {problem !== undefined && <ProblemBox problem={{ ...problem, errors: [] }} />}
        <div class="actions end">
          <button type="submit" class="primary" disabled={busy}>
            {busy ? 'Checking out the repository…' : 'Create ticket'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Returns the request. The server also reports required fields that are empty. */
function ticketOf({ ticket_id = '', repo_url = '', ...optional }: Partial<Record<Field, string>>) {
  const filled = Object.entries(optional).filter(([, value]) => value.trim() !== '');
  return {
    ticket_id: ticket_id.trim(),
    repo_url: repo_url.trim(),
    ...Object.fromEntries(filled.map(([name, value]) => [name, value.trim()])),
  };
}
