import fp from 'fastify-plugin';
import { CHILD_MARK } from '../../src/config/child-mark.ts';
import type { Config } from '../../src/config/load-config.ts';

declare module 'fastify' {
  interface FastifyInstance {
    config: Config;
    /** Environment of git and gh: proxies, certificates, git settings of the operator, and the mark of child processes. */
    parentEnv: Readonly<Record<string, string | undefined>>;
  }
}

export type ConfigOptions = { config: Config; parentEnv: Readonly<Record<string, string | undefined>> };

/** Decorates `app.config` and `app.parentEnv`. */
export default fp<ConfigOptions>(
  async (app, { config, parentEnv }) => {
    app.decorate('config', config);
    app.decorate('parentEnv', { ...parentEnv, [CHILD_MARK]: config.DATA_DIR });
  },
  { name: 'config' },
);
