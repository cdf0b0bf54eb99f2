// Pipes the raw output of the agent over node:http: no log, no frames. The agent starts once N clients of the query
// `clients=N&prompt=…` have connected.
import { spawn } from 'node:child_process';
import { createServer, type ServerResponse } from 'node:http';
import { listenOnPort } from '../../standins/loopback.ts';
import { SCRIPT } from '../agent-definition.ts';

let waiting: ServerResponse[] = [];

const server = createServer((request, response) => {
  const query = new URL(request.url ?? '/', 'http://bench').searchParams;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  waiting.push(response);
  if (waiting.length < Number(query.get('clients'))) return;
  const responses = waiting;
  waiting = [];
  const agent = spawn(process.execPath, [SCRIPT.host], { stdio: ['pipe', 'pipe', 'inherit'] });
  const prompt = [{ type: 'text', text: query.get('prompt') }];
  agent.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'session/prompt', params: { prompt } })}\n`);
  agent.stdout.on('data', (chunk: Buffer) => {
    for (const each of responses) each.write(chunk);
    if (!chunk.includes('"stopReason"')) return;
    for (const each of responses) each.end();
    agent.stdin.end();
  });
});
console.log(`listening at ${await listenOnPort(server)}`);
