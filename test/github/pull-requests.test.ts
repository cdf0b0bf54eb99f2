import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config/load-config.ts';
import { parseRepoUrl } from '../../src/git/repo-url.ts';
import { createGitHub } from '../../src/github/pull-requests.ts';
import { createTokenSource } from '../../src/github/token.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { startGitHub } from '../../standins/github.ts';

const TOKEN = 'ghp_the-token-of-the-server';
const PULLS = /^POST \/repos\/acme\/widgets\/pulls$/;

type Options = {
  env?: Record<string, string>;
  parentEnv?: Record<string, string>;
  /** A shell script in place of gh. `$GH` is the path of the real gh, `$DIR` the folder of the test. */
  gh?: string;
};

async function temporaryFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pullwright-github-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

/** Returns a PATH on which `gh` is this shell script. */
async function pathWithGh(folder: string, script: string): Promise<string> {
  const bin = join(folder, 'bin');
  const gh = execFileSync('sh', ['-c', 'command -v gh'], { encoding: 'utf8' }).trim();
  await mkdir(bin);
  await writeFile(join(bin, 'gh'), `#!/bin/sh\nGH='${gh}'\nDIR='${folder}'\n${script}\n`);
  await chmod(join(bin, 'gh'), 0o755);
  return `${bin}${delimiter}${process.env.PATH}`;
}

/** Starts a GitHub with acme/widgets and its branch `ticket_REL-1`. Returns the module under test, connected to it. */
async function setUp(t: Test, options: Options = {}) {
  const root = await temporaryFolder(t);
  const standIn = await startGitHub({ root: join(root, 'repositories') });
  t.teardown(() => standIn.close());
  standIn.addToken(TOKEN, { login: 'pullwright', push: true });
  standIn.addToken('a-reader', { login: 'reader', push: false });
  await standIn.addRepository('acme/widgets');
  await standIn.commit('acme/widgets', { branch: 'ticket_REL-1', files: { 'a.txt': 'a' } });

  const env = { DATA_DIR: join(root, 'data'), GITHUB_HTTP_UNIX_SOCKET: standIn.socket, GITHUB_TOKEN: TOKEN };
  const config = loadConfig(
    { ...env, ALLOWED_REPO_HOSTS: 'github.com,ghe.acme.test', ...options.env },
    join(root, 'no-env-file'),
  );
  const path = options.gh === undefined ? process.env.PATH : await pathWithGh(root, options.gh);
  const parentEnv = { PATH: path ?? '', ...options.parentEnv };
  const redactor = createRedactor([config.GITHUB_TOKEN]);
  const token = createTokenSource({ config, parentEnv, redactor });
  const github = createGitHub({ config, parentEnv, token, redactor });
  const request = {
    repo: parseRepoUrl('https://github.com/acme/widgets', config.ALLOWED_REPO_HOSTS),
    ticketId: 'REL-1',
    head: 'ticket_REL-1',
    base: 'main',
    title: 'REL-1: Add a',
    body: 'What was done.',
    signal: new AbortController().signal,
  };
  const ensure = (changes: Partial<typeof request> = {}) => github.ensurePullRequest({ ...request, ...changes });
  const requested = () => standIn.requests.map(({ method, path }) => `${method} ${path.replace(/\?.*/, '')}`);
  return { root, standIn, config, ensure, requested, pulls: () => standIn.pulls('acme/widgets') };
}

t.test('ensurePullRequest() opens a pull request, and updates it when one exists', async (t) => {
  const { ensure, pulls, requested, standIn } = await setUp(t);

  t.same(await ensure(), { number: 1, url: 'https://github.com/acme/widgets/pull/1', created: true });
  const [pull] = await pulls();
  t.match(pull, { title: 'REL-1: Add a', head: 'ticket_REL-1', base: 'main', draft: false, author: 'pullwright' });
  t.match(pull?.body, /^<!-- pullwright:ticket=REL-1 -->\nWhat was done\.\n/);

  t.same(await ensure({ title: 'REL-1: Add b', body: 'More was done.' }), {
    number: 1,
    url: 'https://github.com/acme/widgets/pull/1',
    created: false,
  });
  t.match(await pulls(), [{ title: 'REL-1: Add b', body: /More was done\./ }]);
  t.notMatch((await pulls())[0]?.body, /What was done/);

  standIn.requests.length = 0;
  await ensure({ title: 'REL-1: Add b', body: 'More was done.' });
  t.same(requested(), ['GET /repos/acme/widgets', 'GET /repos/acme/widgets/pulls'], 'no write when nothing changed');
  t.equal((await pulls()).length, 1);
});

t.test('ensurePullRequest() keeps text of people, and replaces a closed pull request', async (t) => {
  const { ensure, pulls } = await setUp(t);
  await ensure();
  const [pull] = await pulls();
  if (!pull) throw new Error('There is no pull request.');
  pull.body = `Reviewed by Ann.\n\n${pull.body}\n\nShip on Monday.`;

  await ensure({ body: 'More was done.' });
  t.match(pull.body, /^Reviewed by Ann\.\n\n<!--[\s\S]*More was done[\s\S]*-->\n\nShip on Monday\.$/);

  pull.state = 'closed';
  t.match(await ensure(), { number: 2, created: true });
});

t.test('ensurePullRequest() returns a pull request unchanged when a person opened it', async (t) => {
  const { ensure, pulls } = await setUp(t);
  await ensure();
  const [pull] = await pulls();
  if (!pull) throw new Error('There is no pull request.');
  Object.assign(pull, { title: 'By hand', body: 'My own words.' });

  t.match(await ensure(), { number: 1, created: false });
  t.match(await pulls(), [{ title: 'By hand', body: 'My own words.' }]);
});

t.test('ensurePullRequest() opens no second pull request when the first response is lost', async (t) => {
  for (const failure of [{ reset: true }, { status: 502, body: '<html>Bad gateway</html>' }] as const) {
    const { ensure, pulls, standIn } = await setUp(t);
    standIn.failNext({ match: PULLS, afterEffect: true, ...failure });
    t.match(await ensure(), { number: 1, created: true });
    t.equal((await pulls()).length, 1);
  }
});

t.test('ensurePullRequest() lists pull requests before it retries a write', async (t) => {
  const { ensure, pulls, requested, standIn } = await setUp(t);
  standIn.failNext({ match: PULLS, status: 503 });
  t.match(await ensure(), { number: 1, created: true });
  t.same(
    requested()
      .slice(1)
      .map((request) => request.split(' ')[0]),
    ['GET', 'POST', 'GET', 'POST'],
  );
  t.equal((await pulls()).length, 1);
});

t.test('ensurePullRequest() retries a read when the connection or the gateway fails', async (t) => {
  const { ensure, standIn } = await setUp(t);
  standIn.failNext({ match: /^GET/, reset: true });
  standIn.failNext({ match: /^GET .*\/pulls/, status: 502 });
  t.match(await ensure(), { number: 1, created: true });
});

t.test('ensurePullRequest() fails with the reason when GitHub refuses', async (t) => {
  const { ensure, standIn, config } = await setUp(t);
  const refusal = async (changes: Parameters<typeof ensure>[0] = {}) => await ensure(changes).catch((error) => error);

  standIn.failNext({ match: /^GET/, status: 401, body: { message: 'Bad credentials' } });
  t.match(await refusal(), { code: 'github_auth', message: /401.*Bad credentials/ });
  standIn.failNext({
    match: PULLS,
    status: 403,
    body: { message: 'Resource not accessible\nby \u202epersonal access token' },
  });
  t.match(await refusal(), {
    code: 'github_forbidden',
    message: /: Resource not accessible by personal access token\.$/,
  });
  t.match(await refusal({ repo: parseRepoUrl('https://github.com/acme/none', config.ALLOWED_REPO_HOSTS) }), {
    code: 'repo_not_found',
    message: 'github.com answered 404 to GET repos/acme/none: Not Found.',
  });
  t.match(await refusal({ base: 'none' }), { code: 'base_branch_not_found' });
  await standIn.commit('acme/widgets', { branch: 'behind', files: {} });
  standIn.failNext({
    match: PULLS,
    status: 422,
    body: { message: 'Validation Failed', errors: [{ code: 'custom', message: 'No commits between main and behind' }] },
  });
  t.match(await refusal({ head: 'behind' }), { code: 'no_changes' });
  t.match(await refusal({ head: 'never-pushed' }), { code: 'github_failed', message: /422.*head invalid/ });
  standIn.failNext({ match: /^GET/, status: 200, body: '<html>A portal</html>' });
  t.match(await refusal(), { code: 'github_failed', message: /unknown format/ });
  standIn.failNext({ match: /^GET/, status: 500, times: 10 });
  t.match(await refusal(), { code: 'github_failed', message: /answered 500/, retryable: true });
});

t.test('ensurePullRequest() fails when the token cannot write or is missing', async (t) => {
  const reader = await setUp(t, { env: { GITHUB_TOKEN: 'a-reader' } });
  await t.rejects(reader.ensure(), { code: 'github_forbidden' });
  const noToken = await setUp(t, { env: { GITHUB_TOKEN: '' }, parentEnv: { HOME: '/nonexistent' } });
  await t.rejects(noToken.ensure(), { code: 'github_auth', remedy: /gh auth login/ });
  t.same(noToken.requested(), [], 'no request without a token');
});

t.test('ensurePullRequest() names the home page of gh when gh is missing', async (t) => {
  const { ensure } = await setUp(t, { parentEnv: { PATH: '/nonexistent' } });
  await t.rejects(ensure(), { code: 'github_failed', remedy: /https:\/\/cli\.github\.com/ });
});

t.test('ensurePullRequest() waits for a short rate limit, and fails when it is long', async (t) => {
  const { ensure, pulls, standIn } = await setUp(t);
  standIn.failNext({ match: /^GET/, status: 429, headers: { 'retry-after': '1' } });
  standIn.failNext({
    match: PULLS,
    status: 403,
    headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000)) },
  });
  t.match(await ensure(), { number: 1, created: true });
  const [first, second] = standIn.requests;
  t.ok(second && first && second.time - first.time >= 1000, 'the retry waited as long as Retry-After demands');
  t.equal((await pulls()).length, 1);

  standIn.failNext({ match: /^GET/, status: 429, headers: { 'retry-after': '3600' } });
  await t.rejects(ensure(), { code: 'github_rate_limited', retryAfter: 3600 });
  const reset = String(Math.floor(Date.now() / 1000) + 1000);
  standIn.failNext({
    match: /^GET/,
    status: 403,
    headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset },
  });
  const error = await ensure().catch((error) => error);
  t.match(error, { code: 'github_rate_limited' });
  t.ok(error.retryAfter > 900 && error.retryAfter <= 1001);
});

t.test('ensurePullRequest() stops waiting when it is aborted', async (t) => {
  const { ensure, standIn } = await setUp(t);
  const controller = new AbortController();
  const reason = new Error('canceled by the client');
  // For a secondary limit without a time, the module waits a minute.
  standIn.failNext({ match: /^GET/, status: 403, body: { message: 'You have exceeded a secondary rate limit.' } });
  const waiting = ensure({ signal: controller.signal });
  const answered = async () => standIn.requests[0]?.status === 403;
  while (!(await answered())) await new Promise(setImmediate);
  controller.abort(reason);
  await t.rejects(waiting, reason);
  await t.rejects(ensure({ signal: controller.signal }), reason);
  t.equal(standIn.requests.length, 1);
});

t.test('ensurePullRequest() leaves no process behind when it is aborted', async (t) => {
  const { ensure, root } = await setUp(t, { gh: 'exec 3>"$DIR/pipe"\necho started >&3\nsleep 600 & wait' });
  const pipe = join(root, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const controller = new AbortController();
  const waiting = ensure({ signal: controller.signal });

  const reading = createReadStream(pipe);
  const closed = once(reading, 'end');
  await once(reading, 'data');
  controller.abort(new Error('enough'));
  await t.rejects(waiting, { message: 'enough' });
  await closed;
  t.pass('the child of gh has closed the pipe');
});

t.test('gh gets the token only in its environment, which has no other secret', async (t) => {
  const { ensure, config, root } = await setUp(t, {
    gh: `printf '%s\\n' "$@" >>"$DIR/args"; env >>"$DIR/env"; ls -A . >>"$DIR/ls"; exec "$GH" "$@"`,
    parentEnv: { GEMINI_API_KEY: 'k', GH_DEBUG: 'api', HTTPS_PROXY: 'http://proxy', HOME: '/root' },
  });
  await ensure({ title: '--title "x" $(id)', body: '@/etc/passwd {owner}' });

  t.notMatch(await readFile(join(root, 'args'), 'utf8'), TOKEN);
  const environment = await readFile(join(root, 'env'), 'utf8');
  t.match(environment, `GH_TOKEN=${TOKEN}\n`);
  t.match(environment, 'HTTPS_PROXY=http://proxy\n');
  t.notMatch(environment, /GEMINI_API_KEY|GH_DEBUG|GH_ENTERPRISE_TOKEN|HOME=\/root/);
  t.equal(await readFile(join(root, 'ls'), 'utf8'), '', 'gh works in an empty folder');

  const folderOfGh = join(config.DATA_DIR, 'gh');
  t.equal((await stat(folderOfGh)).mode & 0o777, 0o700);
  for (const name of await readdir(folderOfGh, { recursive: true })) {
    const path = join(folderOfGh, name);
    if ((await stat(path)).isFile()) t.notMatch(await readFile(path, 'utf8'), TOKEN, name);
  }
});

t.test('ensurePullRequest() passes title and body on unchanged', async (t) => {
  const { ensure, pulls } = await setUp(t);
  const title = `--title "x" $(id) ${'é'.repeat(100)}`;
  const body = `@/etc/passwd {owner} :branch\n${'x'.repeat(60_000)}`;
  await ensure({ title, body });
  t.match(await pulls(), [{ title }]);
  t.ok((await pulls())[0]?.body?.includes(body));
});

t.test('ensurePullRequest() sends the token when GITHUB_HOST is a GitHub Enterprise', async (t) => {
  const { ensure, config, standIn } = await setUp(t, { env: { GITHUB_HOST: 'ghe.acme.test' } });
  const repo = parseRepoUrl('https://ghe.acme.test/acme/widgets', config.ALLOWED_REPO_HOSTS);
  t.same(await ensure({ repo }), { number: 1, url: 'https://ghe.acme.test/acme/widgets/pull/1', created: true });
  t.equal(standIn.requests[0]?.token, TOKEN);
});

t.test('the token source returns the setting, else the login of gh, else nothing', async (t) => {
  const root = await temporaryFolder(t);
  const hosts = 'github.com:\n    oauth_token: gho_login\n    user: ann\n';
  await writeFile(join(root, 'hosts.yml'), hosts);
  const PATH = await pathWithGh(root, 'echo . >>"$DIR/calls"\nexec "$GH" "$@"');
  const parentEnv = { PATH, HOME: root, GH_CONFIG_DIR: root };
  const redactor = createRedactor();
  const source = (env: Record<string, string>, parent: Record<string, string>) =>
    createTokenSource({ config: loadConfig(env, join(root, 'no-env-file')), parentEnv: parent, redactor });

  t.equal(await source({ GITHUB_TOKEN: 'set' }, parentEnv)('github.com'), 'set');
  const login = source({}, parentEnv);
  t.equal(await login('github.com'), 'gho_login');
  t.equal(await login('github.com'), 'gho_login');
  t.equal(redactor.text('login: gho_login'), 'login: [redacted]', 'the token is redacted from now on');
  t.equal(await login('ghe.acme.test'), undefined, 'not logged in there');
  t.equal((await readFile(join(root, 'calls'), 'utf8')).split('\n').length - 1, 2, 'gh ran once for each host');
  t.equal(await source({}, { PATH: '/nonexistent' })('github.com'), undefined, 'gh is missing');
});
