// An ACP agent that runs its prompt, a JSON array of steps, in order.
// The argument is its fault: `silent` answers no request, `deaf` no unknown method, and `forgetful` loads no session.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const fault = process.argv[2];
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
  // Writes a line `times` times, no faster than it is read. `PAD` stands for `pad` letters, `NUMBER` for the number of the line.
  async repeat({ times, line, pad = 0 }) {
    const padded = line.replace('PAD', () => 'x'.repeat(pad));
    for (let number = 1; number <= times; number += 1) {
      if (!process.stdout.write(`${padded.replaceAll('NUMBER', number)}\n`)) await once(process.stdout, 'drain');
    }
  },
  fill: (bytes) => writeFileSync('filled', Buffer.alloc(bytes)),
  exit: (code) => process.exit(code),
  // Sends requests unchanged, then answers with their results.
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
  // Sends all requests at once, then answers with the outcomes in order of arrival. An `id` may be in use; `long` is the length of the title.
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

// The steps are the prompt, or the message of a person that it quotes.
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
      if (fault === 'forgetful') return { error: { code: -32602, message: 'no such session' } };
      sessionId = params.sessionId;
      say('an earlier message');
      return { result: {} };
    case 'session/prompt':
      return prompt(params.prompt[0].text);
    default:
      if (fault === 'deaf') return new Promise(() => {});
      return { error: { code: -32601, message: 'no such method' } };
  }
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const message = JSON.parse(line);
  if (message.method === undefined) return answers.get(message.id)?.(message.result ?? message.error);
  if (message.id === undefined || fault === 'silent') return;
  send({ id: message.id, ...(await answer(message)) });
});
