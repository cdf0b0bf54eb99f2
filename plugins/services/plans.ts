import fp from 'fastify-plugin';
import { createPlans, type Plans } from '../../src/plans/plans.ts';

declare module 'fastify' {
  interface FastifyInstance {
    plans: Plans;
  }
}

/** Decorates `app.plans`. */
export default fp(
  async (app) => {
    app.decorate('plans', createPlans(app.store));
  },
  { name: 'plans', dependencies: ['store'] },
);
