import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { unwrap } from '../../../client/client.ts';
import type { Problem } from '../../../schemas/problem.ts';
import type { Ticket } from '../../../schemas/ticket.ts';
import { Dialog } from '../../components/dialog.tsx';
import { ProblemBox } from '../../components/feedback.tsx';
import { api } from '../../lib/api.ts';
import { asProblem } from '../../lib/problem.ts';
import { useCan } from '../../lib/session.ts';

/** Deletes a ticket after a confirmation, and after a second one when work would be lost. */
export function DeleteTicket({ ticket }: { ticket: Ticket }) {
  const can = useCan();
  const { route } = useLocation();
  const [open, setOpen] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  if (!can('dev')) return null;
  const force = problem?.code === 'unpushed_work' || problem?.code === 'ticket_busy';

  async function remove(): Promise<void> {
    setBusy(true);
    try {
      const params = { path: { ticket_id: ticket.ticket_id }, query: force ? { force } : {} };
      await unwrap(api.DELETE('/v1/tickets/{ticket_id}', { params }));
      route('/dashboard/');
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
  }

  return (
    <>
      <button type="button" class="quiet" onClick={() => setOpen(true)}>
        Delete…
      </button>
      {open && (
        <Dialog
          title={`Delete ${ticket.ticket_id}?`}
          onClose={() => {
            setOpen(false);
            setProblem(undefined);
          }}
        >
          <p>
            This deletes its workspace, plans and runs from this server. The branch and the pull request on GitHub
            remain.
          </p>
          {problem !== undefined && <ProblemBox problem={problem} />}
          <div class="actions end">
            <button type="button" class="danger" disabled={busy} onClick={() => void remove()}>
              {force ? 'Delete anyway' : 'Delete ticket'}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
