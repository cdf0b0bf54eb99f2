// Server-sent events with node:http alone: the head and a first frame, then silence.
import { createServer, type ServerResponse } from 'node:http';
import { listenOnPort } from '../../standins/loopback.ts';

const open = new Set<ServerResponse>();

const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('retry: 1000\n\n');
  open.add(response);
  response.on('close', () => open.delete(response));
});
console.log(`listening at ${await listenOnPort(server)}`);
