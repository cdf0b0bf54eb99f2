import type { Static } from '@sinclair/typebox';
import type { PermissionList } from '../../schemas/permission.ts';
import { ask, pause, post, type Stage } from './stage.ts';

/** Answers permissions of the ticket after random delays until it is stopped, as a person would. */
export function answerPermissions(stage: Stage) {
  const { world, ledger, ticketId, random } = stage;
  let isStopped = false;
  const answered = new Set<string>();

  const answering = (async () => {
    while (!isStopped) {
      await pause(100 + random.below(700));
      const list = world.isUp() ? await ask<Static<typeof PermissionList>>(stage, 'GET', '/v1/permissions') : undefined;
      for (const { permission_id, run_id, ticket_id } of list?.status === 200 ? list.body.items : []) {
        if (ticket_id !== ticketId || answered.has(permission_id)) continue;
        answered.add(permission_id);
        const decision = random.chance(0.8) ? 'allow' : 'reject';
        await post(stage, `/v1/runs/${run_id}/permissions/${permission_id}`, { decision }, ({ status }) => {
          if (status === 200) ledger.decisions.set(permission_id, { runId: run_id, decision });
        });
      }
    }
  })();

  return {
    async stop(): Promise<void> {
      isStopped = true;
      await answering;
    },
  };
}
