import t from 'tap';
import type { RunEvent } from '../../schemas/event.ts';
import type { Run } from '../../schemas/run.ts';
import { agentText, call, events, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const { gemini } = world;
const server = await startServer(t, world);
await call(server, 'POST', '/v1/tickets', { ticket_id: 'M-1', repo_url: REPO });

const chat = (message: string) => run(server, 'M-1', { action: 'chat', message });
const warnings = (seen: readonly RunEvent[]) =>
  seen.flatMap((event) => (event.type === 'log' && event.data.level === 'warn' ? [event.data.text] : []));
const tries = (words: string) => gemini.requests.filter(({ prompt }) => prompt.includes(words)).length;

t.test('the server retries a rate-limited or overloaded model and reports each wait', async (t) => {
  gemini.on('in a rush', [{ error: { status: 429, retryAfter: 1 } }, { error: { status: 503 } }, { text: 'Here ' }]);
  const { run: ended, events: seen } = await chat('in a rush');
  t.match(ended, { state: 'succeeded', result: { text: 'Here ' } });
  t.match(warnings(seen), [
    /^The model limits the rate \(429\): You exceeded .* Retrying in 2 s \(attempt 2 of 5\)\.$/,
    /^The model failed \(503\): The model is overloaded\. .* Retrying in \d s \(attempt 3 of 5\)\.$/,
  ]);
  t.equal(tries('in a rush'), 3, 'only the model proxy retried');
});

t.test('the server retries when the connection breaks before the response', async (t) => {
  gemini.on('shaky line', [{ reset: true }, { garbage: true }, { text: 'Steady now.' }]);
  const { run: ended, events: seen } = await chat('shaky line');
  t.match(ended, { state: 'succeeded', result: { text: 'Steady now.' } });
  t.match(warnings(seen), [
    /^(?:The model failed:|Could not reach the model) .*Retrying/,
    /^The model failed: its response is not valid JSON\. Retrying/,
  ]);
});

t.test('a run fails with its partial text when the response of the model breaks off', async (t) => {
  for (const [words, turn, detail] of [
    ['cut off', { reset: true }, /in the middle of its response: the connection broke/],
    ['talk nonsense', { garbage: true }, /in the middle of its response: its response is not valid JSON/],
  ] as const) {
    gemini.on(words, [{ text: 'Half of', hang: true }, turn]);
    const { body } = await call<Run>(server, 'POST', '/v1/tickets/M-1/runs', { action: 'chat', message: words });
    await events(server, body.run_id, { until: ({ type }) => type === 'message.delta' });
    gemini.release();
    const seen = await events(server, body.run_id);
    t.match(seen.at(-1), { type: 'run.failed', data: { error: { code: 'model_failed', detail, retryable: true } } });
    t.equal(agentText(seen), 'Half of', 'the partial text appears once');
    t.equal(tries(words), 1);
  }
});

t.test('a run fails at once, with a remedy, on an error that no retry fixes', async (t) => {
  const day = 'GenerateRequestsPerDayPerProjectPerModel-FreeTier';
  for (const [words, error, expected] of [
    ['key gone', { status: 403 }, { code: 'agent_auth', remedy: /GEMINI_API_KEY/ }],
    ['day over', { status: 429, quotaId: day, retryAfter: 1 }, { code: 'model_quota_exhausted', remedy: /resets/ }],
    [
      'not for you',
      { status: 429, message: 'Quota exceeded for metric: x, limit: 0' },
      { code: 'model_quota_exhausted' },
    ],
    ['come back tomorrow', { status: 429, retryAfter: 3600 }, { code: 'model_rate_limited', retryable: true }],
    ['no such model', { status: 404 }, { code: 'model_failed', remedy: /GEMINI_MODEL/ }],
  ] as const) {
    gemini.on(words, [{ error }]);
    const { run: ended } = await chat(words);
    t.match(ended, { state: 'failed', error: expected }, words);
    t.equal(tries(words), 1, `${words}: tried once`);
  }
});

t.test('a run fails after five attempts when the model stays unavailable', async (t) => {
  gemini.on('nobody home', [{ error: { status: 503, retryAfter: 0 } }]);
  const { run: ended, events: seen } = await chat('nobody home');
  t.match(ended, { state: 'failed', error: { code: 'model_failed', detail: /failed \(503\)/, retryable: true } });
  t.equal(tries('nobody home'), 5);
  t.equal(warnings(seen).length, 5);
});

t.test('the conversation survives all of these failures', async (t) => {
  gemini.on('what did I ask first', [{ text: 'About a rush.' }]);
  t.match((await chat('what did I ask first')).run, { state: 'succeeded' });
  t.match(JSON.stringify(gemini.requests.at(-1)?.body.contents), /in a rush.*shaky line.*what did I ask first/);
});
