import { parseRepoUrl } from '../git/repo-url.ts';
import type { TicketRow } from '../store/tickets.ts';
import { finishDeletion, hasWorkspace } from './deletion.ts';
import type { TicketContext } from './ticket-context.ts';

/** Finishes the creations and deletions that the last server left unfinished. A ticket that fails does not stop the start. */
export async function recoverTickets(context: TicketContext): Promise<void> {
  const { store, workspaces, logger } = context;
  await workspaces.recover();
  const rows = [...(await store.tickets.listByState('creating')), ...(await store.tickets.listByState('deleting'))];
  for (const row of rows) {
    const { ticket_id, state } = row;
    await recoverTicket(context, row).catch((err) =>
      logger.warn({ err, ticket_id, state }, 'failed to recover ticket'),
    );
  }
}

/** Finishes one creation or deletion. A ticket in the state `creating` becomes `ready` if its workspace is complete. */
export async function recoverTicket(context: TicketContext, { ticket_id, state, repo_url }: TicketRow): Promise<void> {
  const { config, store, workspaces, agents } = context;
  if (state === 'ready') return;
  if (state === 'creating') {
    await agents.purge(ticket_id);
    if (await hasWorkspace(workspaces, ticket_id)) {
      const repo = parseRepoUrl(repo_url, config.ALLOWED_REPO_HOSTS);
      const { baseBranch } = await workspaces.create({ ticketId: ticket_id, repo });
      return store.tickets.update(ticket_id, { state: 'ready', base_branch: baseBranch });
    }
    await store.tickets.update(ticket_id, { state: 'deleting' });
  }
  await finishDeletion(context, ticket_id, { cancelRuns: false });
}
