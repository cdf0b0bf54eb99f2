// Writes the frames of a file to the number of clients in the query, without persistence.
import { readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { listenOnPort } from '../../standins/loopback.ts';

const frames = readFileSync(process.argv[2] ?? '', 'utf8')
  .split('\n\n')
  .filter((frame) => frame !== '')
  .map((frame) => `${frame}\n\n`);
let waiting: ServerResponse[] = [];

const server = createServer(async (request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  waiting.push(response);
  if (waiting.length < Number(new URL(request.url ?? '/', 'http://bench').searchParams.get('clients'))) return;
  const responses = waiting;
  waiting = [];
  for (const frame of frames) {
    for (const each of responses) each.write(frame);
    // Flush the frame, as between two events.
    await turn();
  }
  for (const each of responses) each.end();
});
console.log(`listening at ${await listenOnPort(server)}`);
