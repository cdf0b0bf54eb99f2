import fp from 'fastify-plugin';
import { createEventLog, type EventLog } from '../../src/events/event-log.ts';
import { killOrphans } from '../../src/sandbox/processes/orphans.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';

declare module 'fastify' {
  interface FastifyInstance {
    store: Store;
    eventLog: EventLog;
  }
}

/** Decorates `app.store` and `app.eventLog`, which persists the events of runs in the store. */
export default fp(
  async (app) => {
    const { DATA_DIR, LEASE_SECONDS } = app.config;
    const store = await openStore(DATA_DIR, { leaseSeconds: LEASE_SECONDS, logger: app.log });
    // The store holds the instance lock now, so no other server uses the folder.
    await killOrphans(DATA_DIR, app.log);
    app.decorate('store', store);
    app.decorate('eventLog', createEventLog(store, app.redactor));
    app.addHook('onClose', () => store.close());
  },
  { name: 'store', dependencies: ['config', 'redaction'] },
);
