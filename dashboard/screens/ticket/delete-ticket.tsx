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

/** Deleting asks first, and once more where work would be lost. */
export function DeleteTicket({ ticket }: { ticket: Ticket }) {
  const can = useCan();
  const { route } = useLocation();
  const [asking, setAsking] = useState(false);
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
      <button type="button" class="quiet" onClick={() => setAsking(true)}>
        Delete…
      </button>
      {asking && (
        <Dialog
          title={`Delete ${ticket.ticket_id}?`}
          onClose={() => {
            setAsking(false);
            setProblem(undefined);
          }}
        >
          <p>
            Its workspace, plans and runs are removed from this server. The branch and the pull request on GitHub stay.
          </p>
          {problem !== undefined && <ProblemBox problem={problem} />}
          <div class="actions end">
            <button type="button" class="danger" disabled={busy} onClick={() => void remove()}>
              {force ? 'Delete anyway, and lose that work' : 'Delete the ticket'}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
