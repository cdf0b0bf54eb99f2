// A bare Fastify with one route that responds with the JSON of a file.
import { readFileSync } from 'node:fs';
import Fastify from 'fastify';

const answer: unknown = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const app = Fastify();
app.get('/v1/tickets/:ticket_id', async () => answer);
console.log(`listening at ${await app.listen({ host: '127.0.0.1', port: 0 })}`);
