import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError, loadConfig } from '../../src/config/load-config.ts';
import { createGit } from '../../src/git/git.ts';
import { parseRepoUrl, remoteUrl } from '../../src/git/repo-url.ts';
import { createGitHub } from '../../src/github/pull-requests.ts';
import { createTokenSource } from '../../src/github/token.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { createSandbox } from '../../src/sandbox/sandbox.ts';
import { startGitHub } from '../../standins/github.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PEM = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();

/** Starts a GitHub with an app. Returns the token source of a server that uses the app. */
async function setUp(t: Test, env: Record<string, string> = {}) {
  const root = await mkdtemp(join(tmpdir(), 'pullwright-app-'));
  t.teardown(() => rm(root, { recursive: true }));
  const standIn = await startGitHub({ root: join(root, 'repositories') });
  t.teardown(() => standIn.close());
  const app = standIn.addApp({ id: '4711', publicKey });
  await standIn.addRepository('acme/widgets', { private: true });
  await standIn.commit('acme/widgets', { branch: 'ticket_A-1', files: { 'a.txt': 'a' } });
  await writeFile(join(root, 'app.pem'), PEM);
  const config = loadConfig(
    {
      DATA_DIR: join(root, 'data'),
      GITHUB_HTTP_UNIX_SOCKET: standIn.socket,
      GITHUB_APP_ID: '4711',
      GITHUB_APP_PRIVATE_KEY_FILE: join(root, 'app.pem'),
      ...env,
    },
    join(root, 'no-env-file'),
  );
  const redactor = createRedactor();
  const parentEnv = { PATH: process.env.PATH, HOME: '/nonexistent', ...standIn.environment() };
  const token = createTokenSource({ config, parentEnv, redactor });
  const issued = () => standIn.requests.filter(({ path }) => path.endsWith('/access_tokens'));
  return { standIn, app, config, redactor, parentEnv, token, issued };
}

t.test('git and gh share a token of the app that has minimal permissions', async (t) => {
  const { standIn, config, redactor, parentEnv, token, issued } = await setUp(t);
  const target = parseRepoUrl('https://github.com/acme/widgets', config.ALLOWED_REPO_HOSTS);
  const git = createGit({ config, parentEnv, token, confine: createSandbox({ config }).confine, redactor });
  const { stdout } = await git.run(['ls-remote', '--', remoteUrl(target)], { repo: target });
  t.match(stdout.toString(), 'refs/heads/ticket_A-1');
  const github = createGitHub({ config, parentEnv, token, redactor });
  const signal = new AbortController().signal;
  const request = { repo: target, ticketId: 'A-1', head: 'ticket_A-1', base: 'main', title: 'A', body: 'A', signal };
  t.match(await github.ensurePullRequest(request), { number: 1, created: true });
  t.equal(standIn.pulls('acme/widgets')[0]?.author, 'pullwright[bot]');

  t.equal(issued().length, 1, 'git and gh share one token');
  t.strictSame(JSON.parse(issued()[0]?.body ?? ''), { permissions: { contents: 'write', pull_requests: 'write' } });
  const secret = (await token('github.com')) ?? '';
  t.match(secret, /^ghs_/);
  t.equal(redactor.text(`it is ${secret}`), 'it is [redacted]');
  const claims = JSON.parse(Buffer.from(issued()[0]?.token?.split('.')[1] ?? '', 'base64url').toString());
  const now = Date.now() / 1000;
  t.equal(claims.iss, '4711');
  t.ok(claims.iat <= now - 59 && claims.exp <= now + 9 * 60 && claims.exp > now + 8 * 60);
});

t.test('the token source replaces a token before it expires, once for all callers', async (t) => {
  const { app, token, issued, redactor } = await setUp(t);
  app.lifetimeSeconds = 299;
  const first = (await token('github.com')) ?? '';
  app.lifetimeSeconds = 3600;
  const [second, third] = await Promise.all([token('github.com'), token('github.com')]);
  t.not(second, first);
  t.equal(second, third);
  t.equal(await token('github.com'), second, 'a valid token is reused');
  t.equal(issued().length, 2);
  t.equal(redactor.text(`${first} ${second}`), '[redacted] [redacted]', 'the old token is still redacted');
});

t.test('git fails with github_auth when the token has expired', async (t) => {
  const { standIn, app, config, redactor, parentEnv, token } = await setUp(t);
  app.lifetimeSeconds = -1;
  const target = parseRepoUrl('https://github.com/acme/widgets', config.ALLOWED_REPO_HOSTS);
  const git = createGit({ config, parentEnv, token, confine: createSandbox({ config }).confine, redactor });
  await t.rejects(git.run(['ls-remote', '--', remoteUrl(target)], { repo: target }), { code: 'github_auth' });
  t.ok(standIn.requests.length > 1);
});

t.test('the token source fails with a remedy when the app is not set up', async (t) => {
  const { standIn, app, token, issued } = await setUp(t);
  const fails = (code: string, remedy: RegExp, message = /./) =>
    t.rejects(token('github.com'), { code, remedy, message });
  app.installations = [];
  await fails('github_auth', /Install the app/);
  app.installations = [1, 2];
  await fails('github_auth', /GITHUB_APP_INSTALLATION_ID/, /has 2 installations/);
  t.equal(issued().length, 0);
  app.installations = [7];
  app.permissions = { contents: 'read' };
  await fails('github_forbidden', /Grant/, /not granted to this installation/);
  app.publicKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  await fails('github_auth', /clock of the server/, /401/);
  standIn.failNext({ match: /access_tokens/, status: 500 });
  await fails('github_failed', /./, /500/);
  standIn.failNext({ match: /access_tokens/, status: 429, headers: { 'retry-after': '900' } });
  await fails('github_rate_limited', /Wait/);
  standIn.failNext({ match: /access_tokens/, reset: true });
  await fails('github_failed', /network/, /was not reached/);
  app.publicKey = publicKey;
  app.permissions = { contents: 'write', pull_requests: 'write' };
  t.match(await token('github.com'), /^ghs_/, 'a failure is not cached');

  const other = await setUp(t, { GITHUB_APP_INSTALLATION_ID: '99' });
  await t.rejects(other.token('github.com'), { code: 'github_auth', message: /404/ });
  other.app.installations = [98, 99];
  t.match(await other.token('github.com'), /^ghs_/);
  t.notOk(
    other.standIn.requests.some(({ path }) => path === '/app/installations'),
    'the server does not list installations when a setting names one',
  );
});

t.test('the token source returns the token of a setting only for its host', async (t) => {
  const bin = t.testdir({
    gh: `#!/bin/sh\nenv >>"$HOME/env"\ncase $4 in other.test) echo gho_other;; *) exit 1;; esac\n`,
  });
  await chmod(join(bin, 'gh'), 0o755);
  const parentEnv = { PATH: `${bin}:/usr/bin:/bin`, HOME: bin, GH_ENTERPRISE_TOKEN: 'ghe_env', GH_TOKEN: 'gh_env' };
  const source = (env: Record<string, string>) => {
    const config = loadConfig({ GITHUB_TOKEN: 'ghp_setting', ...env }, join(bin, 'no-env-file'));
    return createTokenSource({ config, parentEnv, redactor: createRedactor() });
  };
  const hosts = 'github.com,ghe.test,other.test';
  const several = source({ ALLOWED_REPO_HOSTS: hosts });
  t.equal(await several('github.com'), 'ghp_setting');
  t.equal(await several('ghe.test'), undefined);
  t.equal(await several('other.test'), 'gho_other');
  t.notMatch(await readFile(join(bin, 'env'), 'utf8'), /ghe_env|gh_env|ghp_setting/, 'gh gets no token');
  const named = source({ ALLOWED_REPO_HOSTS: hosts, GITHUB_HOST: 'GHE.test' });
  t.equal(await named('ghe.test'), 'ghp_setting');
  t.equal(await named('github.com'), undefined);
  t.equal(await source({ ALLOWED_REPO_HOSTS: 'ghe.test' })('ghe.test'), 'ghp_setting', 'the only host');
});

t.test('loadConfig() names the settings of GitHub that contradict each other', async (t) => {
  const dir = t.testdir({ 'app.pem': PEM, 'bad.pem': 'no key' });
  const problems = (env: Record<string, string>) => {
    try {
      loadConfig(env, join(dir, 'no-env-file'));
      return '';
    } catch (error) {
      return error instanceof ConfigError ? error.problems.join('\n') : String(error);
    }
  };
  const file = join(dir, 'app.pem');
  t.equal(problems({ GITHUB_APP_ID: '1', GITHUB_APP_PRIVATE_KEY_FILE: file }), '');
  t.match(problems({ GITHUB_APP_ID: '1' }), /GITHUB_APP_PRIVATE_KEY_FILE is not/);
  t.match(problems({ GITHUB_APP_PRIVATE_KEY_FILE: file }), /GITHUB_APP_ID is not/);
  t.match(problems({ GITHUB_APP_ID: '1', GITHUB_APP_PRIVATE_KEY_FILE: file, GITHUB_TOKEN: 'x' }), /both set/);
  t.match(problems({ GITHUB_APP_ID: '1', GITHUB_APP_PRIVATE_KEY_FILE: join(dir, 'bad.pem') }), /no RSA private key/);
  t.match(problems({ GITHUB_APP_INSTALLATION_ID: 'x' }), /GITHUB_APP_INSTALLATION_ID/);
  t.match(problems({ GITHUB_TOKEN: 'x', ALLOWED_REPO_HOSTS: 'a.test,b.test' }), /GITHUB_HOST is "github.com"/);
  t.equal(problems({ GITHUB_TOKEN: 'x', ALLOWED_REPO_HOSTS: 'a.test,b.test', GITHUB_HOST: 'b.test' }), '');
});
