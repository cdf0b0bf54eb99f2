import { AnswerPermission, PermissionRequest } from '../../components/permission.tsx';
import type { PermissionItem } from '../../lib/run-log.ts';

/** Shows a permission request in the conversation, and its outcome. */
export function PermissionRow({ runId, item }: { runId: string; item: PermissionItem }) {
  const { request, resolved } = item;
  if (resolved !== undefined) {
    return (
      <p class="note info">
        {resolved.decision === 'allow' ? 'Allowed' : 'Rejected'} {BY[resolved.by] ?? `by key ${resolved.by}`}:{' '}
        {request.command ?? request.title}
      </p>
    );
  }
  return (
    <section class="ask-card" aria-label="Permission request">
      <PermissionRequest request={request} />
      <AnswerPermission runId={runId} permissionId={request.permission_id} deadline={request.deadline} />
    </section>
  );
}

const BY: Record<string, string> = {
  policy: 'by policy',
  deadline: 'at the deadline',
  canceled: 'with the run',
  interrupted: 'when the server stopped',
  environment: 'by API_KEY',
  loopback: 'by a local user',
};
