import type { App } from './github-apps.ts';
import { type Account, ANONYMOUS } from './github-model.ts';

/** The users, apps and tokens of a stand-in. */
export type Accounts = ReturnType<typeof createAccounts>;

export function createAccounts() {
  const byToken = new Map<string, Account>();
  const byLogin = new Map<string, Account>();
  const apps: App[] = [];
  return {
    byLogin,
    apps,

    addToken(token: string, user: { login: string; push: boolean; scopes?: readonly string[] }): void {
      const account = { ...user, scopes: user.scopes ?? ['repo'] };
      byToken.set(token, account);
      byLogin.set(user.login, account);
    },

    /** Adds a token of an app's installation, which is not a user. */
    addInstallationToken(token: string, account: Account): void {
      byToken.set(token, account);
    },

    addApp({ id, publicKey }: Pick<App, 'id' | 'publicKey'>): App {
      const permissions = { contents: 'write', pull_requests: 'write', metadata: 'read' };
      const app = { id, publicKey, installations: [1001], permissions, lifetimeSeconds: 3600 };
      apps.push(app);
      return app;
    },

    /** Returns the account of a request's token; undefined when the token is unknown or expired. */
    find(token: string | undefined): Account | undefined {
      if (token === undefined) return ANONYMOUS;
      const account = byToken.get(token);
      return account && (account.expiresAt ?? Number.POSITIVE_INFINITY) > Date.now() ? account : undefined;
    },
  };
}
