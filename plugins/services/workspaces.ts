import fp from 'fastify-plugin';
import { createGit } from '../../src/git/git.ts';
import { createWorkspaces, type Workspaces } from '../../src/workspaces/workspaces.ts';

declare module 'fastify' {
  interface FastifyInstance {
    workspaces: Workspaces;
  }
}

/** Decorates `app.workspaces`: a checkout per ticket, from a mirror per repository. */
export default fp(
  async (app) => {
    const { config, parentEnv, redactor, sandbox } = app;
    const git = createGit({
      config,
      parentEnv,
      token: app.githubToken,
      confine: sandbox.confine,
      redactor,
      logger: app.log,
    });
    const workspaces = createWorkspaces({ config, git, sandbox, redactor, logger: app.log });
    app.decorate('workspaces', workspaces);
    app.addHook('onClose', () => workspaces.close());
  },
  { name: 'workspaces', dependencies: ['config', 'github', 'sandbox'] },
);
