import { readFileSync } from 'node:fs';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import t from 'tap';
import { call } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin } from '../helpers/keys.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';
import { createRandom, type Random } from './random.ts';
import { bodyFor, pathFor, type Route, routesOf } from './requests.ts';

const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 20_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const CONCURRENCY = 32;

const world = await makeWorld(t);
const server = await startServerProcess(t, world, {
  API_KEY: ADMIN_KEY,
  RATE_LIMIT_PER_MINUTE: '1000000',
  KEY_RATE_LIMIT_PER_MINUTE: '1000000',
  AUTH_FAILURES_PER_MINUTE: '1000000',
  MAX_CONCURRENT_RUNS: '1',
  MAX_QUEUED_RUNS: '5',
});
const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
t.teardown(() => agent.destroy());

t.test(`the server answers ${REQUESTS} random requests without an internal error, seed ${SEED}`, async (t) => {
  const created = await call(server, 'POST', '/v1/tickets', { ticket_id: 'FUZZ-1', repo_url: REPO }, asAdmin);
  t.equal(created.status, 201);
  const { body: run } = await call(
    server,
    'POST',
    '/v1/tickets/FUZZ-1/runs',
    { action: 'chat', message: 'hello' },
    asAdmin,
  );
  const known = { ticket_id: 'FUZZ-1', run_id: run.run_id, key_id: '0123456789ab' };
  const routes = routesOf((await call(server, 'GET', '/openapi.json')).body);
  t.ok(routes.length >= 18, 'OpenAPI lists the routes');

  const random = createRandom(SEED);
  // The first half fills caches and lets the heap grow to its size.
  const early = await fuzz(random, routes, known, REQUESTS / 2);
  const before = residentMemory();
  const failures = [...early, ...(await fuzz(random, routes, known, REQUESTS / 2))];
  const after = residentMemory();

  t.strictSame(failures, [], 'every request is answered, none with 5xx');
  t.equal((await call(server, 'GET', '/livez')).status, 200, 'the server still answers');
  t.ok(after < before + 100, `the requests leak no memory: ${before} MB, then ${after} MB`);
});

/** Sends requests; returns those without an answer or with a 5xx one. */
async function fuzz(random: Random, routes: Route[], known: Record<string, string>, count: number): Promise<string[]> {
  const failures: string[] = [];
  let left = count;
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      while (left-- > 0) {
        const route = random.pick(routes);
        const attempt = {
          method: method(random, route),
          path: pathFor(random, route, known),
          body: bodyFor(random, route),
        };
        const description = `${attempt.method} ${attempt.path.slice(0, 200)} ${JSON.stringify(attempt.body?.toString('latin1').slice(0, 200))}`;
        try {
          const status = await send(attempt.method, attempt.path, headersFor(random), attempt.body);
          if (status >= 500) failures.push(`${status} ${description}`);
        } catch (error) {
          failures.push(`${error} ${description}`);
        }
      }
    }),
  );
  return failures;
}

function method(random: Random, route: Route): string {
  if (random.chance(0.95)) return route.method;
  return random.pick(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND']);
}

function headersFor(random: Random): IncomingHttpHeaders {
  const type = random.weighted([
    [90, 'application/json'],
    [2, 'application/json; charset=utf-16'],
    [2, 'text/plain'],
    [2, 'multipart/form-data; boundary=x'],
    [2, `application/${random.word(40)}`],
    [2, ''],
  ]);
  return {
    ...(type === '' ? {} : { 'content-type': type }),
    ...(random.chance(0.2)
      ? { accept: random.pick(['application/json', 'text/html', 'text/x-diff', '*/*', 'x', ';;q=9']) }
      : {}),
    ...(random.chance(0.1) ? { 'last-event-id': random.pick(['0', '1', '-1', '99999999999999999999', 'x', '']) } : {}),
    ...(random.chance(0.2) ? { 'if-match': random.pick(['"1"', '*', '"x"', 'W/"1"', '']) } : {}),
    ...(random.chance(0.1)
      ? { 'idempotency-key': random.pick(['a', '"b"', '"', '', 'k'.repeat(300), random.word(40)]) }
      : {}),
    ...(random.chance(0.05) ? { authorization: `Bearer ${random.word(60)}` } : {}),
    ...(random.chance(0.95) ? asAdmin : { 'x-api-key': random.pick([ADMIN_KEY.slice(1), random.word(5000), '']) }),
    ...(random.chance(0.02) ? { origin: random.pick(['null', 'https://evil.example', 'x']) } : {}),
  };
}

/** Sends a request; returns the status. It closes a stream as soon as it starts. */
function send(method: string, path: string, headers: IncomingHttpHeaders, body: Buffer | undefined): Promise<number> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const sent = request({ agent, hostname, port, path, method, headers }, (response) => {
      const status = response.statusCode ?? 0;
      if (response.headers['content-type']?.startsWith('text/event-stream')) {
        resolve(status);
        sent.destroy();
        return;
      }
      response.resume().on('end', () => resolve(status));
      response.on('error', reject);
    });
    sent.on('error', (error: NodeJS.ErrnoException) => {
      // The server does not read the rest of a body that it refuses for its size.
      if (error.code === 'EPIPE' || error.code === 'ECONNRESET') resolve(413);
      // The server refuses malformed HTTP before it parses the method, so its answer to a HEAD has a body.
      else if (error.code === 'HPE_CLOSED_CONNECTION' && method === 'HEAD') resolve(400);
      else reject(error);
    });
    sent.end(body);
  });
}

/** Returns the resident memory of the server, in MB. */
function residentMemory(): number {
  const status = readFileSync(`/proc/${server.process.pid}/status`, 'utf8');
  return Math.round(Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024);
}
