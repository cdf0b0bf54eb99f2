import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { AppError } from '../../src/errors/app-error.ts';
import { createGit } from '../../src/git/git.ts';
import { parseRepoUrl, remoteUrl } from '../../src/git/repo-url.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { closeServer, listenOnPort } from '../../standins/loopback.ts';
import { noneLeft, processesIn } from '../helpers/processes.ts';
import { makeWorld, repo, setUp, TOKEN } from '../workspaces/world.ts';

t.test('git runs in an environment that the server makes', async (t) => {
  const { dir, parentEnv } = await makeWorld(t);
  const home = join(dir, 'home');
  await mkdir(home);
  await writeFile(join(home, '.gitconfig'), '[user]\n\tname = from a file\n');
  const hostile = {
    ...parentEnv,
    HOME: home,
    GEMINI_API_KEY: 'secret',
    GITHUB_TOKEN: 'secret',
    GIT_DIR: '/etc',
    GIT_TRACE: join(dir, 'trace'),
    GIT_SSH_COMMAND: 'touch pwned',
    GIT_EXTERNAL_DIFF: 'touch pwned',
    GIT_CONFIG_PARAMETERS: "'core.pager=touch pwned'",
    LD_PRELOAD: '/nonexistent.so',
    http_proxy: 'http://evil.invalid',
    HTTPS_PROXY: 'http://proxy.invalid',
    NO_PROXY: 'localhost',
  };
  const { git } = setUp(dir, hostile, TOKEN);
  const { stdout } = await git.run(['-c', 'alias.show-env=!env -0', 'show-env']);
  const seen = new Map(
    stdout
      .toString()
      .split('\0')
      .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
  for (const name of [
    'GEMINI_API_KEY',
    'GITHUB_TOKEN',
    'GIT_TRACE',
    'GIT_SSH_COMMAND',
    'GIT_EXTERNAL_DIFF',
    'LD_PRELOAD',
  ]) {
    t.notOk(seen.has(name), name);
  }
  t.notOk(seen.has('http_proxy'));
  t.notMatch([...seen.values()].join('\n'), TOKEN);
  t.equal(seen.get('HTTPS_PROXY'), 'http://proxy.invalid');
  t.equal(seen.get('HOME'), '/nonexistent');
  t.notOk((await readdir(dir)).includes('trace'));

  const settings = (await git.run(['config', '--list'])).stdout.toString();
  t.match(settings, /^url\..*insteadof=https:\/\/github\.com\/$/m, "the operator's settings apply");
  t.ok(settings.indexOf('insteadof') < settings.indexOf('core.hookspath'), 'they come before those of the server');
  t.notMatch(settings, 'from a file');
});

t.test('run() fails with an error code for each kind of failure', async (t) => {
  const { dir, github, git } = await makeWorld(t);
  await github.addRepository('acme/widgets');
  await github.addRepository('acme/private', { private: true });
  const lsRemote = (name: string, from = git) => {
    const target = repo(name);
    return from.run(['ls-remote', '--', remoteUrl(target)], { repo: target });
  };
  const failsWith = async (code: string, detail: RegExp, promise: Promise<unknown>) => {
    const error = await promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    t.ok(error instanceof AppError, code);
    if (error instanceof AppError) t.match({ code: error.code, detail: error.message }, { code, detail });
  };

  await failsWith('repo_not_found', /acme\/nothing was not found/, lsRemote('acme/nothing'));
  const anonymous = setUp(dir, { PATH: process.env.PATH, ...github.environment() }, undefined).git;
  await t.resolves(lsRemote('acme/widgets', anonymous), 'a public repository needs no token');
  await failsWith('github_auth', /no token is set/, lsRemote('acme/private', anonymous));
  const wrong = setUp(dir, { PATH: process.env.PATH, ...github.environment() }, 'ghp_wrong').git;
  await failsWith('github_auth', /refused the credentials/, lsRemote('acme/private', wrong));

  const answers: [number, string, RegExp][] = [
    [403, 'github_forbidden', /refuses access to acme\/widgets/],
    [404, 'repo_not_found', /was not found/],
    [410, 'clone_failed', /410/],
    [429, 'github_rate_limited', /limits/],
    [500, 'github_failed', /500/],
    [503, 'github_failed', /503/],
  ];
  for (const [status, code, detail] of answers) {
    github.failNext({ match: /widgets/, status, body: 'scripted\n' });
    await failsWith(code, detail, lsRemote('acme/widgets'));
  }
  github.failNext({ match: /widgets/, reset: true });
  await failsWith('network_unreachable', /acme\/widgets was not reached/, lsRemote('acme/widgets'));

  const unknownHost = parseRepoUrl('https://nowhere.invalid/acme/widgets', ['nowhere.invalid']);
  const lost = git.run(['ls-remote', '--', remoteUrl(unknownHost)], { repo: unknownHost });
  await failsWith('network_unreachable', /resolve host/, lost);
  const rewritten = (address: string) => {
    const env = { ...github.environment(), GIT_CONFIG_KEY_0: `url.${address}/.insteadOf` };
    return setUp(dir, { PATH: process.env.PATH, ...env }, TOKEN).git;
  };
  await failsWith('network_unreachable', /connect/i, lsRemote('acme/widgets', rewritten('http://127.0.0.1:1')));
  const notTls = rewritten(github.url.replace('http:', 'https:'));
  await failsWith('network_unreachable', /not reached/, lsRemote('acme/widgets', notTls));
  await failsWith('clone_failed', /transport 'file' not allowed/, lsRemote('acme/widgets', rewritten(`file://${dir}`)));
});

t.test('git does not follow a redirect', async (t) => {
  const { github, git } = await makeWorld(t);
  await github.addRepository('acme/moved');
  let reached = 0;
  const elsewhere = createServer((_, response) => {
    reached += 1;
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
  });
  const location = `${await listenOnPort(elsewhere)}/acme/moved.git/info/refs?service=git-upload-pack`;
  t.teardown(() => closeServer(elsewhere));
  github.failNext({ match: /moved/, status: 301, headers: { location }, body: '' });
  const target = repo('acme/moved');
  await t.rejects(git.run(['ls-remote', '--', remoteUrl(target)], { repo: target }), {
    code: 'repo_not_found',
    message: /has moved/,
  });
  t.equal(reached, 0);
});

t.test('a command ends with all its processes', async (t) => {
  const { dir, github, git, sandbox, parentEnv, config } = await makeWorld(t);
  await github.addRepository('acme/stalled', { private: true });
  const target = repo('acme/stalled');
  const gitDir = join(dir, 'x.git');
  await git.run(['init', '--quiet', '--bare', '--template='], { gitDir });
  const fetch = (from: typeof git, signal?: AbortSignal) =>
    from.run(['fetch', '--', remoteUrl(target), '+refs/heads/*:refs/heads/*'], { gitDir, repo: target, signal });

  const controller = new AbortController();
  const hanging = github.hang({ match: /POST .*stalled.*upload-pack/ });
  const canceled = t.rejects(fetch(git, controller.signal), { code: 'canceled' });
  await hanging;
  const running = processesIn('acme/stalled');
  t.ok(running.length >= 2, 'git and its helper run');
  t.strictSame(processesIn(TOKEN), [], 'no command line holds the token');
  controller.abort();
  await canceled;
  await noneLeft('acme/stalled');

  const deadline = new AppError('timed_out', 'The run took too long.');
  await t.rejects(fetch(git, AbortSignal.abort(deadline)), deadline, 'the error is the reason of the abort');

  const withTimeout = createGit({
    config: { ...config, GIT_TIMEOUT_SECONDS: 1 },
    parentEnv,
    token: async () => TOKEN,
    confine: sandbox.confine,
    redactor: createRedactor(),
  });
  // On a busy machine, git may not get as far as this request. It does not finish by itself in either case.
  void github.hang({ match: /(GET|POST) .*stalled/ });
  await t.rejects(fetch(withTimeout), { code: 'timed_out', message: /after 1 seconds/ });
  await noneLeft('acme/stalled');
});

t.test('askpass.sh gives the token to one origin only, and no error contains it', async (t) => {
  const askpass = fileURLToPath(new URL('../../src/git/askpass.sh', import.meta.url));
  const env = { PULLWRIGHT_GIT_ORIGIN: 'https://github.com', PULLWRIGHT_GIT_TOKEN: TOKEN };
  const answer = async (prompt: string) => {
    const run = promisify(execFile)(askpass, [prompt], { env });
    return run.then(
      ({ stdout }) => stdout.trim(),
      () => undefined,
    );
  };
  t.equal(await answer("Username for 'https://github.com': "), 'x-access-token');
  t.equal(await answer("Password for 'https://x-access-token@github.com': "), TOKEN);
  for (const prompt of [
    "Username for 'http://github.com': ",
    "Username for 'https://github.com:8443': ",
    "Username for 'https://github.com.evil.example': ",
    "Password for 'https://x-access-token@evil.example': ",
    "Password for 'https://someone@github.com': ",
    "Password for 'http://x-access-token@github.com': ",
    "Password for 'https://x-access-token@github.com@evil.example': ",
    'Password: ',
    '*',
    '',
  ]) {
    t.equal(await answer(prompt), undefined, prompt);
  }

  const { github, git } = await makeWorld(t);
  await github.addRepository('acme/private', { private: true });
  const basic = Buffer.from(`x-access-token:${TOKEN}`).toString('base64');
  github.failNext({ match: /private/, status: 401, headers: { 'www-authenticate': 'Basic realm="x"' }, body: '' });
  github.failNext({ match: /private/, status: 403, body: `you sent ${TOKEN} as ${basic}\n` });
  const target = repo('acme/private');
  const error = await git
    .run(['ls-remote', '--', remoteUrl(target)], { repo: target })
    .catch((thrown: unknown) => thrown);
  t.match(error, { code: 'github_forbidden', message: /you sent \[redacted\] as \S*\[redacted\]/ });
  t.notMatch(error instanceof Error ? `${error.message} ${error.cause}` : '', TOKEN);
});

t.test('run() cuts the output at maxOutput', async (t) => {
  const { git } = await makeWorld(t);
  const { stdout, truncated } = await git.run(['help', '--all'], { maxOutput: 100 });
  t.ok(truncated);
  t.equal(stdout.length, 100);
});

t.test('checkVersion() fails when git is missing or too old', async (t) => {
  const { dir, git } = await makeWorld(t);
  await t.resolves(git.checkVersion());
  const bin = join(dir, 'bin');
  await mkdir(bin);
  const other = setUp(dir, { PATH: bin }, undefined).git;
  await t.rejects(other.checkVersion(), { code: 'internal', message: /could not be started/ });
  await t.rejects(other.run(['version']), { code: 'internal', message: /could not be started/ });
  await writeFile(join(bin, 'git'), '#!/bin/sh\necho git version 2.37.9\n');
  await chmod(join(bin, 'git'), 0o755);
  await t.rejects(other.checkVersion(), { code: 'internal', message: /2\.37 is too old/ });
});
