import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';
import { parseRepoUrl } from '../../src/git/repo-url.ts';
import { canAccess } from '../../src/keys/caller.ts';

/**
 * Hides tickets and runs of other repositories from a key that is limited to repositories: they answer 404. Checks each request
 * with the id of a ticket or run, or with a repository, so that no route can omit the check. Routes of lists filter themselves.
 */
export default fp(
  async (app) => {
    const { config, store } = app;

    app.addHook('preHandler', (request, _reply, done) => {
      if (request.caller.repositories === undefined) return done();
      checkAccess(request).then(() => done(), done);
    });

    async function checkAccess(request: FastifyRequest): Promise<void> {
      const { caller } = request;
      const path = idsIn(request.params);
      const body = idsIn(request.body);
      if (path.run_id !== undefined) {
        const run = await store.runs.get(path.run_id);
        if (run === undefined || !(await seesTicket(run.ticket_id))) {
          throw new AppError('run_not_found', `There is no run ${path.run_id}.`);
        }
      }
      if (body.repo_url !== undefined) {
        const { url } = parseRepoUrl(body.repo_url, config.ALLOWED_REPO_HOSTS);
        if (!canAccess(caller, url)) throw new AppError('forbidden_repository', `The API key is not valid for ${url}.`);
      }
      // A body with a repository names the ticket to create; a path names an existing ticket.
      for (const ticketId of [path.ticket_id, body.repo_url === undefined ? body.ticket_id : undefined]) {
        if (ticketId === undefined || (await seesTicket(ticketId))) continue;
        throw new AppError('ticket_not_found', `There is no ticket ${ticketId}.`);
      }

      async function seesTicket(ticketId: string): Promise<boolean> {
        const ticket = await store.tickets.get(ticketId);
        return ticket !== undefined && canAccess(caller, ticket.repo_url);
      }
    }
  },
  { name: 'repository-limits', dependencies: ['config', 'store', 'auth'] },
);

/** Returns the ids and the repository in a path or a body. */
function idsIn(source: unknown): Partial<Record<'ticket_id' | 'run_id' | 'repo_url', string>> {
  const found: Partial<Record<'ticket_id' | 'run_id' | 'repo_url', string>> = {};
  if (typeof source !== 'object' || source === null) return found;
  for (const [name, value] of Object.entries(source)) {
    if (typeof value !== 'string') continue;
    if (name === 'ticket_id' || name === 'run_id' || name === 'repo_url') found[name] = value;
  }
  return found;
}
