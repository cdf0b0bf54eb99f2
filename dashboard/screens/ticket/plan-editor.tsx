import { useState } from 'preact/hooks';
import { unwrap } from '../../../client/client.ts';
import type { Plan } from '../../../schemas/plan.ts';
import type { Problem } from '../../../schemas/problem.ts';
import type { Ticket } from '../../../schemas/ticket.ts';
import { DiffLines } from '../../components/diff-view.tsx';
import { ProblemBox } from '../../components/feedback.tsx';
import { Markdown } from '../../components/markdown.tsx';
import { api } from '../../lib/api.ts';
import { compareTexts } from '../../lib/diff.ts';
import { asProblem } from '../../lib/problem.ts';
import { ticketPath } from '../../lib/queries.ts';
import { invalidate } from '../../lib/resource.ts';
import { useDraft } from '../../lib/use-draft.ts';

type Draft = { version: number; body: string };

export function draftName(ticketId: string): string {
  return `plan:${ticketId}`;
}

/**
 * Edits the plan. A draft belongs to the version that it started from. When a newer version exists, the editor keeps the draft,
 * shows a notice and does not save.
 */
export function PlanEditor({ ticket, newest, onDone }: { ticket: Ticket; newest: Plan; onDone(): void }) {
  const [stored, setStored, clearDraft] = useDraft(draftName(ticket.ticket_id));
  const draft: Draft = stored === '' ? { version: newest.version, body: newest.body } : JSON.parse(stored);
  const [view, setView] = useState<'write' | 'preview' | 'compare'>('write');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const stale = draft.version !== newest.version;
  const ready = !busy && !stale && draft.body !== newest.body && draft.body !== '';

  const write = (change: Partial<Draft>) => setStored(JSON.stringify({ ...draft, ...change }));

  async function save(event: Event): Promise<void> {
    event.preventDefault();
    if (!ready) return;
    setBusy(true);
    setProblem(undefined);
    try {
      await unwrap(
        api.PUT('/v1/tickets/{ticket_id}/plan', {
          params: { path: { ticket_id: ticket.ticket_id } },
          body: { body: draft.body },
          headers: { 'if-match': `"${draft.version}"` },
        }),
      );
      clearDraft();
      onDone();
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
    invalidate((path) => path.startsWith(`${ticketPath(ticket.ticket_id)}/plan`));
  }

  function discard(): void {
    setStored('');
    onDone();
  }

  return (
    <form class="plan" aria-label="Edit the plan" onSubmit={(event) => void save(event)}>
      <h2 class="hidden">Edit version {draft.version}</h2>
      <div class="toolbar">
        <fieldset class="segments">
          <legend class="hidden">View</legend>
          {(['write', 'preview', 'compare'] as const).map((name) => (
            <button key={name} type="button" aria-pressed={view === name} onClick={() => setView(name)}>
              {name === 'write' ? 'Write' : name === 'preview' ? 'Preview' : `Compare with version ${newest.version}`}
            </button>
          ))}
        </fieldset>
        <span class="muted">Editing version {draft.version}</span>
        <div class="actions">
          <button type="button" class="quiet" disabled={busy} onClick={discard}>
            {stored === '' ? 'Close' : 'Discard changes'}
          </button>
          <button type="submit" class="primary" disabled={!ready}>
            {busy ? 'Saving…' : 'Save new version'}
          </button>
        </div>
      </div>
      {stale && (
        <div class="notice ask" role="alert">
          <strong>Version {newest.version} was saved while you were editing.</strong>
          <p>Your draft is kept. Compare it with the new version, copy what you need, then continue from there.</p>
          <div class="actions">
            <button type="button" onClick={() => setView('compare')}>
              Show differences
            </button>
            <button type="button" onClick={() => write({ version: newest.version })}>
              Continue from version {newest.version}
            </button>
          </div>
        </div>
      )}
      {problem !== undefined && !stale && <ProblemBox problem={problem} />}
      {view === 'write' && (
        <textarea
          class="plan-text mono"
          aria-label="Plan as Markdown"
          spellcheck={true}
          readOnly={busy}
          value={draft.body}
          onInput={(event) => write({ body: event.currentTarget.value })}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void save(event);
          }}
        />
      )}
      {view === 'preview' && (
        <div class="document">
          <Markdown text={draft.body} />
        </div>
      )}
      {view === 'compare' && (
        <div class="file">
          <div class="file-head">Version {newest.version} → your draft</div>
          <DiffLines lines={compareTexts(newest.body, draft.body)} label="the plan in your draft" />
        </div>
      )}
    </form>
  );
}
