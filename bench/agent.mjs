// An ACP agent that performs the task in its prompt, see agent-definition.ts.
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const sessionId = 'session-1';
const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);

function update(kind, bytes) {
  const text = `@${process.hrtime.bigint()}@`.padEnd(bytes, '.');
  const content = { type: 'text', text };
  const update =
    kind === 'text'
      ? { sessionUpdate: 'agent_message_chunk', content }
      : { sessionUpdate: 'tool_call_update', toolCallId: 'tool-1', title: text };
  send({ method: 'session/update', params: { sessionId, update } });
}

async function perform({ kind, delayMs, count, bytes, everyMs, holdMs = 0 }) {
  await pause(delayMs);
  const start = performance.now();
  for (let index = 0; index < count; index++) {
    const left = start + index * everyMs - performance.now();
    if (everyMs > 0 && left > 0) await pause(left);
    update(kind, bytes);
  }
  await pause(holdMs);
  return { stopReason: 'end_turn' };
}

async function answer({ method, params }) {
  switch (method) {
    case 'initialize':
      return { protocolVersion: 1, agentCapabilities: {} };
    case 'session/new':
      return { sessionId };
    case 'session/prompt':
      return perform(JSON.parse(/<<<(.*?)>>>/s.exec(params.prompt[0].text)[1]));
    default:
      return {};
  }
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const message = JSON.parse(line);
  if (message.id !== undefined) send({ id: message.id, result: await answer(message) });
});
