import fp from 'fastify-plugin';
import { createTickets, type Tickets } from '../../src/tickets/tickets.ts';

declare module 'fastify' {
  interface FastifyInstance {
    tickets: Tickets;
  }
}

/** Decorates `app.tickets`. */
export default fp(
  async (app) => {
    const { config, store, workspaces, agents, runs } = app;
    const tickets = createTickets({ config, store, log: app.eventLog, workspaces, agents, runs, logger: app.log });
    // Before `onListen`, when the runs start, which work in these folders.
    await tickets.recover();
    app.decorate('tickets', tickets);
  },
  { name: 'tickets', dependencies: ['store', 'workspaces', 'agents', 'runs'] },
);
