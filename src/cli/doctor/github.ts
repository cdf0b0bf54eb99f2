import { parseRepoUrl } from '../../git/repo-url.ts';
import { createGhApi, type GhResponse } from '../../github/gh-api.ts';
import { githubFailure } from '../../github/github-failure.ts';
import { createTokenSource } from '../../github/token.ts';
import { createRedactor } from '../../redaction/redactor.ts';
import { type Check, fail, ok, type Surroundings, warn } from './check.ts';

const MOST_SECONDS_APART = 60;

/** The login at GitHub, the right to push, and the clock, which GitHub's answers tell. */
export function githubChecks({ config, env, repo }: Surroundings): Check[] {
  const token = createTokenSource({ config, parentEnv: env, redactor: createRedactor() });
  const gh = createGhApi({ config, parentEnv: env, token });
  const get = (host: string, route: string) => gh({ host, method: 'GET', route, signal: AbortSignal.timeout(30_000) });
  const isApp = config.GITHUB_APP_ID !== undefined;
  const asked = Date.now();
  // An app is no user; it is asked for what there is for anybody with a valid token.
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
        const off = got && secondsOff(got, asked);
        if (off === undefined) return warn('GitHub did not tell the time.', 'See the check of the login.');
        if (Math.abs(off) <= MOST_SECONDS_APART) return ok('as GitHub has it');
        return fail(`It is ${Math.round(off)} s off GitHub's.`, 'timedatectl set-ntp true');
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
        // An app's answer has no permissions; pushing tells.
        if (field(field(got.body, 'permissions'), 'push') === true) return ok(`${owner}/${name} may be pushed to`);
        if (isApp)
          return warn(`${owner}/${name} can be read.`, 'Give the app contents and pull requests, read and write.');
        return fail(
          `The token may not push to ${owner}/${name}.`,
          'Give it contents and pull requests, read and write, on this repository.',
        );
      },
    },
  ];
}

/** How much this machine's clock is ahead, by the `Date` header, which is exact to a second. */
function secondsOff(answer: GhResponse, asked: number): number | undefined {
  if (answer.kind !== 'response') return undefined;
  const told = Date.parse(answer.headers.date ?? '');
  if (Number.isNaN(told)) return undefined;
  const now = Date.now();
  if (told >= asked - 1000 && told <= now) return 0;
  return ((told < asked ? asked : now) - told) / 1000;
}

function field(body: unknown, name: string): unknown {
  if (typeof body !== 'object' || body === null) return undefined;
  return Object.entries(body).find(([key]) => key === name)?.[1];
}
