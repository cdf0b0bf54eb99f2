import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';
import { parseRepoUrl } from '../../src/git/repo-url.ts';
import { canAccess } from '../../src/keys/caller.ts';

/**
 * A key that is limited to repositories sees the tickets and runs of these and no others: what is not for it is not there.
 * Looks at each request that names a ticket, a run or a repository, so that no route can forget to. Lists are for their
 * routes to narrow down.
 */
export default fp(
  async (app) => {
    const { config, store } = app;

    app.addHook('preHandler', (request, _reply, done) => {
      if (request.caller.repositories === undefined) return done();
      checkSeen(request).then(() => done(), done);
    });

    async function checkSeen(request: FastifyRequest): Promise<void> {
      const { caller } = request;
      const path = named(request.params);
      const body = named(request.body);
      if (path.run_id !== undefined) {
        const run = await store.runs.get(path.run_id);
        if (run === undefined || !(await seesTicket(run.ticket_id))) {
          throw new AppError('run_not_found', `There is no run ${path.run_id}.`);
        }
      }
      if (body.repo_url !== undefined) {
        const { url } = parseRepoUrl(body.repo_url, config.ALLOWED_REPO_HOSTS);
        if (!canAccess(caller, url)) throw new AppError('forbidden_repository', `The API key is not for ${url}.`);
      }
      // A body with a repository tells what its ticket is to be; the path tells of one that there is.
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

/** The ids and the repository that a path or a body names. */
function named(source: unknown): Partial<Record<'ticket_id' | 'run_id' | 'repo_url', string>> {
  const found: Partial<Record<'ticket_id' | 'run_id' | 'repo_url', string>> = {};
  if (typeof source !== 'object' || source === null) return found;
  for (const [name, value] of Object.entries(source)) {
    if (typeof value !== 'string') continue;
    if (name === 'ticket_id' || name === 'run_id' || name === 'repo_url') found[name] = value;
  }
  return found;
}
