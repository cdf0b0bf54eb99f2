import { AnswerPermission, PermissionRequest } from '../../components/permission.tsx';
import type { PermissionItem } from '../../lib/run-log.ts';

/** A question of the agent in the place where it was asked, and how it was settled. */
export function PermissionRow({ runId, item }: { runId: string; item: PermissionItem }) {
  const { request, resolved } = item;
  if (resolved !== undefined) {
    const who = BY[resolved.by] ?? `key ${resolved.by}`;
    return (
      <p class="note info">
        {resolved.decision === 'allow' ? 'Allowed' : 'Rejected'} by {who}: {request.command ?? request.title}
      </p>
    );
  }
  return (
    <section class="ask-card" aria-label="The agent asks for permission">
      <PermissionRequest question={request} />
      <AnswerPermission runId={runId} permissionId={request.permission_id} deadline={request.deadline} />
    </section>
  );
}

const BY: Record<string, string> = {
  policy: 'the policy',
  deadline: 'the deadline',
  canceled: 'the end of the run',
  interrupted: 'the end of the server',
  environment: 'API_KEY',
  loopback: 'a person at this machine',
};
