import fp from 'fastify-plugin';
import { createGitHub, type GitHub } from '../../src/github/pull-requests.ts';
import { createTokenSource } from '../../src/github/token.ts';
import type { TokenSource } from '../../src/github/types.ts';

declare module 'fastify' {
  interface FastifyInstance {
    githubToken: TokenSource;
    github: GitHub;
  }
}

/** Decorates `app.github`, pull requests through gh, and `app.githubToken`, the token of gh and git. */
export default fp(
  async (app) => {
    const { config, parentEnv, redactor } = app;
    const token = createTokenSource({ config, parentEnv, redactor, logger: app.log });
    app.decorate('githubToken', token);
    app.decorate('github', createGitHub({ config, parentEnv, token, redactor, logger: app.log }));
  },
  { name: 'github', dependencies: ['config', 'redaction'] },
);
