import { Empty, Loading, ProblemBox } from '../components/feedback.tsx';
import { AnswerPermission, PermissionRequest } from '../components/permission.tsx';
import { ACTIONS } from '../components/state.tsx';
import { Ago } from '../components/time.tsx';
import { Title } from '../components/title.tsx';
import { permissions } from '../lib/queries.ts';
import { useList } from '../lib/resource.ts';
import { useCan } from '../lib/session.ts';

/** Lists the tool calls that wait for permission. */
export function Permissions() {
  const can = useCan();
  const { data, problem, loading } = useList(permissions);
  return (
    <>
      <Title title="Permissions" />
      {problem !== undefined && <ProblemBox problem={problem} />}
      {data === undefined && loading && <Loading label="permissions" />}
      {data?.items.length === 0 && (
        <Empty title="No pending permissions">
          <p>
            The setting <code>ASK_PERMISSION</code> defines the actions that need approval.
          </p>
        </Empty>
      )}
      {data !== undefined && data.items.length > 0 && !can('dev') && (
        <div class="notice ask">To answer, sign in with a key that has the scope dev.</div>
      )}
      {data?.items.map((permission) => (
        <section
          key={permission.permission_id}
          class="ask-card"
          data-row
          tabIndex={-1}
          aria-label={`Permission request of ${permission.ticket_id}`}
        >
          <p class="muted">
            <a href={`/dashboard/tickets/${permission.ticket_id}`}>{permission.ticket_id}</a> ·{' '}
            {ACTIONS[permission.action]} · <Ago time={permission.asked_at} />
          </p>
          <PermissionRequest request={permission} />
          <AnswerPermission
            runId={permission.run_id}
            permissionId={permission.permission_id}
            deadline={permission.deadline}
          />
        </section>
      ))}
    </>
  );
}
