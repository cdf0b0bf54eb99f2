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
const AT_ONCE = 32;

const world = await makeWorld(t);
const server = await startServerProcess(t, world, {
  API_KEY: ADMIN_KEY,
  RATE_LIMIT_PER_MINUTE: '1000000',
  KEY_RATE_LIMIT_PER_MINUTE: '1000000',
  AUTH_FAILURES_PER_MINUTE: '1000000',
  MAX_CONCURRENT_RUNS: '1',
  MAX_QUEUED_RUNS: '5',
});
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
t.teardown(() => agent.destroy());

t.test(`${REQUESTS} requests of every kind, seed ${SEED}`, async (t) => {
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
  t.ok(routes.length >= 18, 'the routes are known');

  const random = createRandom(SEED);
  // The first half fills caches and lets the heap find its size.
  const early = await many(random, routes, known, REQUESTS / 2);
  const before = residentMemory();
  const failures = [...early, ...(await many(random, routes, known, REQUESTS / 2))];
  const after = residentMemory();

  t.strictSame(failures, [], 'no answer is the server’s own fault, and each comes');
  t.equal((await call(server, 'GET', '/livez')).status, 200, 'the server answers as before');
  t.ok(after < before + 100, `memory does not grow with the requests: ${before} MB, then ${after} MB`);
});

/** Sends requests and returns those that were answered 5xx, or not at all. */
async function many(random: Random, routes: Route[], known: Record<string, string>, count: number): Promise<string[]> {
  const failures: string[] = [];
  let left = count;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) {
        const route = random.pick(routes);
        const attempt = {
          method: method(random, route),
          path: pathFor(random, route, known),
          body: bodyFor(random, route),
        };
        const told = `${attempt.method} ${attempt.path.slice(0, 200)} ${JSON.stringify(attempt.body?.toString('latin1').slice(0, 200))}`;
        try {
          const status = await send(attempt.method, attempt.path, headersFor(random), attempt.body);
          if (status >= 500) failures.push(`${status} ${told}`);
        } catch (error) {
          failures.push(`${error} ${told}`);
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

/** Status of the answer; a stream is left as soon as it begins. */
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
      // A body that is refused by its size is not read to its end.
      if (error.code === 'EPIPE' || error.code === 'ECONNRESET') resolve(413);
      // What is no HTTP is refused before its method is known, so with a body even when it was a HEAD.
      else if (error.code === 'HPE_CLOSED_CONNECTION' && method === 'HEAD') resolve(400);
      else reject(error);
    });
    sent.end(body);
  });
}

/** In MB, as the kernel counts it. */
function residentMemory(): number {
  const status = readFileSync(`/proc/${server.process.pid}/status`, 'utf8');
  return Math.round(Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024);
}
