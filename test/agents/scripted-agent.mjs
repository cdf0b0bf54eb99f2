// An ACP agent that does what its prompt says: a JSON array of steps, carried out in order.
// The argument names what is odd about it: `silent` never answers, `deaf` only what it knows, `forgetful` cannot load sessions.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const oddity = process.argv[2];
const answers = new Map();
const received = [];
let sessionId = 'session-1';
let nextId = 1;

const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const update = (content) => send({ method: 'session/update', params: { sessionId, update: content } });
const say = (text) => update({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } });

const steps = {
  say,
  update,
  raw: (text) => process.stdout.write(`${text}\n`),
  stderr: (text) => process.stderr.write(`${text}\n`),
  flood: (bytes) => process.stdout.write('x'.repeat(bytes)),
  // The same line `times` times, no faster than it is read; `PAD` in it stands for `pad` letters, `NUMBER` for its number.
  async repeat({ times, line, pad = 0 }) {
    const padded = line.replace('PAD', () => 'x'.repeat(pad));
    for (let number = 1; number <= times; number += 1) {
      if (!process.stdout.write(`${padded.replaceAll('NUMBER', number)}\n`)) await once(process.stdout, 'drain');
    }
  },
  fill: (bytes) => writeFileSync('filled', Buffer.alloc(bytes)),
  exit: (code) => process.exit(code),
  // Says the answers to requests, which it sends as they are.
  async request(requests) {
    const all = requests.map(({ id }) => new Promise((resolve) => answers.set(id, resolve)));
    for (const request of requests) send(request);
    say(JSON.stringify(await Promise.all(all)));
  },
  async permission(params) {
    const id = `permission-${nextId++}`;
    const answered = new Promise((resolve) => answers.set(id, resolve));
    send({ id, method: 'session/request_permission', params: { sessionId, ...params } });
    say(JSON.stringify((await answered).outcome));
  },
  // All at once; one that names an `id` uses it, whoever else did; `long` is the length of a title. Says the outcomes in the order in which they came.
  async permissions(requests) {
    const all = Promise.withResolvers();
    for (const { id = `permission-${nextId++}`, long, ...params } of requests) {
      if (long) params.toolCall.title = 'x'.repeat(long);
      answers.set(id, ({ outcome }) => {
        received.push([id, outcome.optionId ?? outcome.outcome]);
        if (received.length === requests.length) all.resolve();
      });
      send({ id, method: 'session/request_permission', params: { sessionId, ...params } });
    }
    await all.promise;
    say(JSON.stringify(received.splice(0)));
  },
  hang: () => new Promise(() => setInterval(() => {}, 60_000)),
};

// The steps are the prompt, or what it quotes as the message of a person.
async function prompt(text) {
  const quoted = /^BEGIN message$\n([\s\S]*)\n^END message$/m.exec(text)?.[1];
  for (const step of JSON.parse(quoted ?? text)) {
    const [[name, value]] = Object.entries(step);
    if (name === 'stop') return { result: { stopReason: value } };
    if (name === 'error') return { error: value };
    await steps[name](value);
  }
  return { result: { stopReason: 'end_turn' } };
}

async function answer({ method, params }) {
  switch (method) {
    case 'initialize':
      return { result: { protocolVersion: 1, agentCapabilities: { loadSession: true } } };
    case 'session/new':
      return { result: { sessionId } };
    case 'session/load':
      if (oddity === 'forgetful') return { error: { code: -32602, message: 'no such session' } };
      sessionId = params.sessionId;
      say('what was said before');
      return { result: {} };
    case 'session/prompt':
      return prompt(params.prompt[0].text);
    default:
      if (oddity === 'deaf') return new Promise(() => {});
      return { error: { code: -32601, message: 'no such method' } };
  }
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const message = JSON.parse(line);
  if (message.method === undefined) return answers.get(message.id)?.(message.result ?? message.error);
  if (message.id === undefined || oddity === 'silent') return;
  send({ id: message.id, ...(await answer(message)) });
});
