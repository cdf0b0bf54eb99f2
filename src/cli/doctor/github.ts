import { parseRepoUrl } from '../../git/repo-url.ts';
import { createGhApi, type GhResponse } from '../../github/gh-api.ts';
import { githubFailure } from '../../github/github-failure.ts';
import { createTokenSource } from '../../github/token.ts';
import { createRedactor } from '../../redaction/redactor.ts';
import { type Check, type CheckContext, fail, ok, warn } from './check.ts';

const MAX_CLOCK_SKEW_SECONDS = 60;

/** Checks the login at GitHub, the right to push, and the clock against GitHub's. */
export function githubChecks({ config, env, repo }: CheckContext): Check[] {
  const token = createTokenSource({ config, parentEnv: env, redactor: createRedactor() });
  const gh = createGhApi({ config, parentEnv: env, token });
  const get = (host: string, route: string) => gh({ host, method: 'GET', route, signal: AbortSignal.timeout(30_000) });
  const isApp = config.GITHUB_APP_ID !== undefined;
  const requestedAt = Date.now();
  // An app is not a user; any valid token can read its rate limit.
  const login = { host: config.GITHUB_HOST, method: 'GET', route: isApp ? 'rate_limit' : 'user' } as const;
  const answer = get(login.host, login.route);
  answer.catch(() => {});

  const checks: Check[] = [
    {
      name: 'github login',
      async run() {
        const got = await answer;
        if (got.kind !== 'response' || got.status !== 200) throw githubFailure(login, got);
        return ok(isApp ? `the app ${config.GITHUB_APP_ID}` : `${field(got.body, 'login')} at ${login.host}`);
      },
    },
    {
      name: 'clock',
      async run() {
        const got = await answer.catch(() => undefined);
        const skew = got && clockSkewSeconds(got, requestedAt);
        if (skew === undefined) return warn('GitHub did not answer with a date.', 'Fix the check github login first.');
        if (Math.abs(skew) <= MAX_CLOCK_SKEW_SECONDS) return ok('matches GitHub');
        return fail(`The clock differs from GitHub's by ${Math.round(skew)} s.`, 'timedatectl set-ntp true');
      },
    },
  ];
  if (repo === undefined) return checks;
  return [
    ...checks,
    {
      name: 'repository',
      async run() {
        const { host, owner, name } = parseRepoUrl(repo, config.ALLOWED_REPO_HOSTS);
        const route = `repos/${owner}/${name}`;
        const got = await get(host, route);
        if (got.kind !== 'response' || got.status !== 200) throw githubFailure({ host, method: 'GET', route }, got);
        if (field(field(got.body, 'permissions'), 'push') === true) return ok(`the token can push to ${owner}/${name}`);
        // The answer to an app has no permissions.
        if (isApp)
          return warn(
            `${owner}/${name} can be read.`,
            'Give the app read and write access to contents and pull requests.',
          );
        return fail(
          `The token cannot push to ${owner}/${name}.`,
          'Give it read and write access to contents and pull requests of this repository.',
        );
      },
    },
  ];
}

/** Returns how many seconds this clock is ahead of the `Date` header, which has a resolution of a second. */
function clockSkewSeconds(answer: GhResponse, requestedAt: number): number | undefined {
  if (answer.kind !== 'response') return undefined;
  const date = Date.parse(answer.headers.date ?? '');
  if (Number.isNaN(date)) return undefined;
  const now = Date.now();
  if (date >= requestedAt - 1000 && date <= now) return 0;
  return ((date < requestedAt ? requestedAt : now) - date) / 1000;
}

function field(body: unknown, name: string): unknown {
  if (typeof body !== 'object' || body === null) return undefined;
  return Object.entries(body).find(([key]) => key === name)?.[1];
}
