import { type ExecFileException, execFile } from 'node:child_process';
import { chmod, cp, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { startGeminiApi } from '../../standins/gemini-api.ts';
import { startGitHub } from '../../standins/github.ts';
import { sampleScripts, ticket } from '../../standins/sample-ticket.ts';

const PATH = `${dirname(process.execPath)}:${process.env.PATH}`;
const SAMPLE = fileURLToPath(new URL('../../standins/sample', import.meta.url));
const GEMINI = fileURLToPath(new URL('../../node_modules/@google/gemini-cli/bundle/gemini.js', import.meta.url));

type Options = { cwd: string; env?: Record<string, string>; input?: string };
type Outcome = { code: ExecFileException['code'] | 0; stdout: string; stderr: string };

/** Runs a program with only the given environment. */
function run(file: string, args: string[], { cwd, env, input = '' }: Options): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(file, args, { cwd, env: { PATH, HOME: cwd, ...env } }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, stdout, stderr });
    });
    child.stdin?.end(input);
  });
}

/** Starts the GitHub stand-in with acme/widgets and three tokens. Returns git and gh that use it. */
async function hub(t: Test) {
  const dir = t.testdir({ askpass: ASKPASS, gh: {} });
  await chmod(join(dir, 'askpass'), 0o755);
  const github = await startGitHub({ root: join(dir, 'root') });
  t.teardown(() => github.close());
  github.addToken('writer', { login: 'writer', push: true });
  github.addToken('reader', { login: 'reader', push: false });
  github.addToken('public', { login: 'public', push: true, scopes: ['public_repo'] });
  await github.addRepository('acme/widgets', { protectedBranches: ['main'] });
  await writeFile(join(dir, 'gh', 'config.yml'), `version: "1"\nhttp_unix_socket: ${github.socket}\n`);

  const person = { NAME: 'Ann', EMAIL: 'ann@example.org' };
  const git = (token: string, cwd: string, ...args: string[]) => {
    const env = {
      ...github.environment(),
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      ...(token && { GIT_ASKPASS: join(dir, 'askpass'), TOKEN: token }),
      ...Object.fromEntries(Object.entries(person).map(([key, value]) => [`GIT_AUTHOR_${key}`, value])),
      ...Object.fromEntries(Object.entries(person).map(([key, value]) => [`GIT_COMMITTER_${key}`, value])),
    };
    return run('git', args, { cwd, env });
  };
  const gh = async (token: string, args: string[], body?: object) => {
    const env = { GH_CONFIG_DIR: join(dir, 'gh'), GH_TOKEN: token, GH_PROMPT_DISABLED: '1' };
    const input = body && JSON.stringify(body);
    const { stdout } = await run('gh', ['api', '-i', ...args], { cwd: dir, env, ...(input && { input }) });
    const [, status, json] = /^HTTP\/1.1 (\d+)[\s\S]*?\r\n\r\n(.*)/.exec(stdout) ?? [];
    return { status: status && Number(status), body: json && JSON.parse(json) };
  };
  return { dir, github, git, gh };
}

const ASKPASS = '#!/bin/sh\ncase "$1" in Username*) echo x-access-token ;; *) echo "$TOKEN" ;; esac\n';
const SETTINGS = JSON.stringify({ security: { auth: { selectedType: 'gemini-api-key' } } });

t.test('the model stand-in plays scripts', async (t) => {
  const api = await startGeminiApi({ key: 'right' });
  t.teardown(() => api.close());

  type Content = { role: string; parts: { text: string }[] };
  const user = (text: string): Content => ({ role: 'user', parts: [{ text }] });
  const model = (text: string): Content => ({ role: 'model', parts: [{ text }] });
  const post = (operation: string, body: object, key = 'right') =>
    fetch(`${api.url}/v1beta/models/gemini-pro:${operation}`, {
      method: 'POST',
      headers: { 'x-goog-api-key': key },
      body: JSON.stringify(body),
    });
  const ask = async (...contents: Content[]) => {
    const response = await post('streamGenerateContent?alt=sse', { contents });
    const events = (await response.text()).match(/(?<=^data: ).+(?=\r$)/gm) ?? [];
    const chunks = events.map((event) => JSON.parse(event));
    const text = chunks.map((chunk) => chunk.candidates[0].content.parts[0].text).join('');
    return { status: response.status, chunks, text };
  };

  await t.test('the stand-in plays the turn that matches the length of the conversation', async (t) => {
    api.on(/count for (\w+)/, [{ text: ['o', 'ne'] }, { error: { status: 503 } }, { text: 'two' }]);
    t.equal((await ask(user('count for ann'))).text, 'one');
    const further = [user('count for ann'), model('one'), user('Please continue.')];
    t.equal((await ask(...further)).status, 503, 'a turn that fails');
    t.equal((await ask(...further)).text, 'two', 'a failing turn is played once');
    t.equal((await ask(user('count for bob'), ...further.slice(1))).status, 503, 'once for each matched text');
    t.equal((await ask(...further, model('two'), user('count for ann'))).text, 'one', 'a new prompt starts again');
    t.equal((await ask(...further, model('two'), user('go on'))).text.includes('no script'), true);
  });

  await t.test('the newest script matches first, and a failure at its end repeats', async (t) => {
    api.on('count', [{ error: { status: 429, retryAfter: 7 } }]);
    const response = await post('streamGenerateContent?alt=sse', { contents: [user('count for ann')] });
    t.equal(response.headers.get('retry-after'), '7');
    t.match(await response.json(), {
      error: { code: 429, status: 'RESOURCE_EXHAUSTED', details: [{ retryDelay: '7s' }] },
    });
    t.equal((await ask(user('count for ann'))).status, 429);
  });

  await t.test('a turn holds thoughts, calls and token counts', async (t) => {
    const calls = [{ name: 'read_file', args: { file_path: 'a' } }];
    api.on('think', [{ thought: 'hm', text: 'so', calls, usage: { input: 10, output: 5, thoughts: 3 } }]);
    const { chunks } = await ask(user('think'));
    t.match(
      chunks.map((chunk) => chunk.candidates[0].content.parts[0]),
      [{ text: 'hm', thought: true }, { text: 'so' }, { functionCall: calls[0] }, {}],
    );
    t.match(chunks.at(-1), {
      candidates: [{ finishReason: 'STOP' }],
      usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, thoughtsTokenCount: 3, totalTokenCount: 18 },
    });
  });

  await t.test('a turn can hang until released, break the connection or send garbage', async (t) => {
    api.on('wait', [{ text: 'a', hang: true }, { text: 'b' }]);
    const answer = ask(user('wait'));
    const request = await api.waitFor(({ prompt, state }) => prompt === 'wait' && state === 'held');
    api.release((held) => held === request);
    t.equal((await answer).text, 'ab');
    t.equal(request.state, 'answered');

    api.on('break', [{ text: 'a', reset: true }]);
    await t.rejects(ask(user('break')));
    api.on('babble', [{ text: 'a', garbage: true }]);
    await t.rejects(ask(user('babble')), SyntaxError);
  });

  await t.test('the stand-in checks keys and answers JSON schemas, counts and unknown operations', async (t) => {
    t.match(await (await post('generateContent', {}, 'wrong')).json(), {
      error: { code: 400, message: /^API key not valid/, details: [{ reason: 'API_KEY_INVALID' }] },
    });
    const properties = { reasoning: { type: 'STRING' }, next_speaker: { type: 'string', enum: ['user', 'model'] } };
    const generationConfig = {
      responseMimeType: 'application/json',
      responseJsonSchema: { type: 'OBJECT', properties, required: ['reasoning', 'next_speaker'] },
    };
    t.match(await (await post('generateContent', { generationConfig })).json(), {
      candidates: [{ content: { parts: [{ text: '{"reasoning":"","next_speaker":"user"}' }] } }],
    });
    t.match(await (await post('countTokens', {})).json(), { totalTokens: Number });
    t.equal((await post('predict', {})).status, 404);
    const garbled = await fetch(`${api.url}/models/x:countTokens?key=right`, { method: 'POST', body: '{' });
    t.equal(garbled.status, 400);
  });

  await t.test('close ends hanging requests', async (t) => {
    const closing = await startGeminiApi();
    closing.on('', [{ hang: true }]);
    const url = `${closing.url}/models/x:streamGenerateContent?key=k`;
    const answer = fetch(url, { method: 'POST', body: JSON.stringify({ contents: [user('hello')] }) });
    await Promise.all([
      t.rejects(answer),
      closing.waitFor(({ state }) => state === 'held').then(() => closing.close()),
    ]);
    await t.rejects(
      closing.waitFor(() => false),
      /closed/,
    );
  });
});

t.test('Gemini CLI finds and fixes the sample bug', async (t) => {
  const api = await startGeminiApi();
  t.teardown(() => api.close());
  api.script(sampleScripts);
  const dir = t.testdir({ home: { '.gemini': { 'settings.json': SETTINGS } }, work: {} });
  const cwd = join(dir, 'work');
  await cp(SAMPLE, cwd, { recursive: true });

  t.match(
    (await run('node', ['--test', '--test-reporter=tap'], { cwd })).stdout,
    /^# pass 16\n# fail 1$/m,
    'one test fails before',
  );
  const env = {
    HOME: join(dir, 'home'),
    TMPDIR: dir,
    GEMINI_CLI_TRUST_WORKSPACE: 'true',
    GEMINI_CLI_NO_RELAUNCH: 'true',
    ...api.environment(),
  };
  const prompt = `Action: dev\n\nTicket: ${ticket.ticket_id}`;
  const agent = await run('node', [GEMINI, '--approval-mode', 'yolo', '--prompt', prompt], { cwd, env });
  t.match(agent, { code: 0, stdout: /rounds the whole length/ }, 'the agent reports its change');

  const results = api.requests.flatMap(({ body }) => body.contents?.at(-1)?.parts ?? []);
  t.match(
    results.flatMap((part) => part.functionResponse ?? []),
    [
      { name: 'read_file', response: { output: /export function format/ } },
      { name: 'replace', response: { output: /^Successfully modified/ } },
      { name: 'replace', response: { output: /^Successfully modified/ } },
      { name: 'replace', response: { output: /^Successfully modified/ } },
      { name: 'run_shell_command', response: { output: /pass 18/ } },
    ],
    'the tools ran as scripted',
  );
  t.match(
    (await run('node', ['--test', '--test-reporter=tap'], { cwd })).stdout,
    /^# pass 18\n# fail 0$/m,
    'all tests pass after',
  );
  t.ok(api.requests.every(({ key }) => key === 'stand-in-key'));
  t.ok(api.requests.some(({ tools }) => tools.includes('run_shell_command')));
});

t.test('the GitHub stand-in enforces access, protection and fast-forward for git', async (t) => {
  const { dir, github, git } = await hub(t);
  const widgets = 'https://github.com/acme/widgets.git';
  const secret = 'https://github.com/acme/secret.git';
  await github.addRepository('acme/secret', { private: true });

  t.match(await git('', dir, 'clone', '-q', widgets, 'anonymous'), { code: 0 }, 'a public repository needs no token');
  t.match(await git('', dir, 'clone', '-q', secret, 'x'), {
    code: 128,
    stderr: /could not read Username|Authentication/,
  });
  t.match(await git('nobody', dir, 'clone', '-q', secret, 'x'), { code: 128, stderr: /Invalid username or token/ });
  t.match(await git('public', dir, 'clone', '-q', secret, 'x'), { code: 128, stderr: /Repository not found/ });
  t.match(await git('writer', dir, 'clone', '-q', '--depth', '1', secret, 'secret'), { code: 0 });

  const work = join(dir, 'anonymous');
  await writeFile(join(work, 'large'), Buffer.alloc(3_000_000, 'large enough for chunks and gzip'));
  await git('', work, 'add', '.');
  await git('', work, 'commit', '-q', '-m', 'Large');
  const push = (token: string, ...refs: string[]) => git(token, work, 'push', '--porcelain', 'origin', ...refs);
  t.match(await push('reader', 'HEAD:b'), { code: 128, stderr: /Permission to acme\/widgets.git denied to reader/ });
  t.match(await push('writer', 'HEAD:main'), { code: 1, stderr: /error: GH006: Protected branch update failed/ });
  t.match(await push('writer', 'HEAD:b'), { code: 0 });
  await github.commit('acme/widgets', { branch: 'b', files: { 'other.txt': 'by somebody else' } });
  t.match(await push('writer', '--force-with-lease', 'HEAD~1:b'), { code: 1, stdout: /stale info/ });
  t.match(await push('writer', 'HEAD:b'), { code: 1, stdout: /\[rejected\] \(fetch first\)/ }, 'no fast-forward');

  github.failNext({ match: /^POST .*git-receive-pack$/, afterEffect: true, reset: true });
  t.match(await push('writer', 'HEAD:c'), { code: 1 }, 'the reply is lost');
  t.match(await git('', work, 'ls-remote', 'origin', 'c'), { stdout: /refs\/heads\/c/ }, 'the branch exists');
  github.failNext({ match: /info\/refs/, status: 503, times: 2 });
  t.match(await git('', work, 'fetch'), { code: 128, stderr: /503/ });
});

t.test('the GitHub stand-in validates requests of gh', async (t) => {
  const { github, git, gh, dir } = await hub(t);
  const pulls = 'repos/acme/widgets/pulls';
  const post = (body: object, token = 'writer') => gh(token, ['-X', 'POST', pulls, '--input', '-'], body);
  const tip = await github.commit('acme/widgets', { branch: 'topic', files: { 'a.txt': 'a' } });
  const wanted = { title: 'Add a', head: 'topic', base: 'main', body: 'Words.' };

  t.match(await gh('writer', ['user']), { status: 200, body: { login: 'writer' } });
  t.match(await gh('nobody', ['user']), { status: 401, body: { message: 'Bad credentials' } });
  t.match(await gh('writer', ['repos/acme/none']), { status: 404 });
  t.match(await gh('reader', ['repos/acme/widgets']), { body: { permissions: { push: false } } });

  t.match(await post(wanted, 'reader'), { status: 403, body: { message: /^Resource not accessible/ } });
  t.match(await post({}), {
    status: 422,
    body: { errors: [{ field: 'title' }, { field: 'head' }, { field: 'base' }] },
  });
  const refused = { status: 422, body: { message: 'Validation Failed' } };
  t.match(await post({ ...wanted, head: 'none' }), {
    ...refused,
    body: { errors: [{ field: 'head', code: 'invalid' }] },
  });
  t.match(await post({ ...wanted, head: 'eve:topic' }), refused);
  t.match(await post({ ...wanted, base: 'none' }), { body: { errors: [{ field: 'base', code: 'invalid' }] } });
  t.match(await post({ ...wanted, head: 'main' }), { body: { errors: [{ message: /^No commits between main and/ }] } });
  t.match(await post({ ...wanted, title: 'x'.repeat(257) }), { body: { errors: [{ message: /too long/ }] } });

  github.failNext({ match: /^POST .*pulls$/, afterEffect: true });
  t.equal((await post(wanted)).status, undefined, 'the reply is lost');
  const exists = 'A pull request already exists for acme:topic.';
  t.match(await post(wanted), { status: 422, body: { errors: [{ code: 'custom', message: exists }] } });
  const url = 'https://github.com/acme/widgets/pull/1';
  t.match(await gh('writer', [`${pulls}?head=acme:topic&base=main`]), { body: [{ number: 1, html_url: url }] });
  t.strictSame((await gh('writer', [`${pulls}?head=acme:main`])).body, []);
  t.strictSame((await gh('writer', [`${pulls}?state=closed`])).body, []);

  const patch = (body: object) => gh('writer', ['-X', 'PATCH', `${pulls}/1`, '--input', '-'], body);
  t.match(await patch({ title: 'Add b' }), {
    status: 200,
    body: { title: 'Add b', body: 'Words.', head: { sha: tip } },
  });
  t.match(await patch({ state: 'gone' }), refused);
  const issue = 'repos/acme/widgets/issues/1';
  t.match(await gh('writer', ['-X', 'POST', `${issue}/labels`, '-f', 'labels[]=bug']), { body: [{ name: 'bug' }] });
  t.match(await gh('reader', ['-X', 'POST', `${issue}/comments`, '-f', 'body=Hi']), { status: 201 });
  t.match(github.pulls('acme/widgets'), [{ labels: ['bug'], comments: [{ author: 'reader', body: 'Hi' }] }]);
  t.match(await gh('writer', ['repos/acme/widgets/branches/main']), { body: { protected: true } });
  t.match(await gh('writer', ['repos/acme/widgets/git/ref/heads/topic']), { body: { object: { sha: tip } } });
  t.match(await gh('writer', [`repos/acme/widgets/commits/${tip}/check-runs`]), { body: { check_runs: [] } });
  t.match(await gh('writer', ['repos/acme/widgets/collaborators/writer/permission']), {
    body: { permission: 'write' },
  });

  await git('writer', dir, 'push', '-q', 'https://github.com/acme/widgets.git', ':topic');
  t.match(github.pulls('acme/widgets'), [{ state: 'closed' }], 'deleting its branch closes a pull request');
  t.match(await patch({ state: 'open' }), refused);

  const reached = github.hang({ match: /^GET \/user$/ });
  const hanging = gh('writer', ['user']);
  t.match(await reached, { kind: 'rest', token: 'writer' });
  await github.close();
  t.equal((await hanging).status, undefined, 'close ends hanging requests');
});
