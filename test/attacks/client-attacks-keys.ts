import { call } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin } from '../helpers/keys.ts';
import type { ClientArena } from './client-arena.ts';
import type { ClientAttack } from './client-attack.ts';
import type { Edit } from './remove-defences.ts';

const AUTH = 'plugins/hooks/auth.ts';
const KEYS = 'src/keys/keys.ts';
const KEY_ENTRY = 'src/keys/key-entry.ts';
const RUNS = 'plugins/routes/runs.ts';

const LIST = '/v1/tickets';
const WRONG = { 'x-api-key': 'not-the-key-of-this-server' };
const MINE = 'github.com/acme/duration';

const without = (...edits: Edit[]) => ({ edits });
const settings = (values: Record<string, string>) => ({ settings: () => values });

const SCOPES: Edit = { file: AUTH, from: "requireScope(request.caller, scope ?? ['admin']);", to: '' };
const ACTIONS: Edit = { file: RUNS, from: 'requireScope(caller, [ACTION_SCOPES[body.action]]);', to: '' };
const REPOSITORIES: Edit = {
  file: 'plugins/hooks/repository-limits.ts',
  from: 'if (request.caller.repositories === undefined) return done();',
  to: 'return done();',
};

const NO_BODY: Edit = {
  file: 'plugins/core/validation.ts',
  from: "throw new AppError('invalid_request', 'This operation takes no body.');",
  to: 'return;',
};

/** Sends requests with an invalid key one after another; returns their statuses. */
async function guesses({ status }: ClientArena, times: number, headers = (_index: number) => ({})) {
  const seen: number[] = [];
  for (let index = 0; index < times; index += 1) {
    seen.push(await status('GET', LIST, undefined, { ...WRONG, ...headers(index) }));
  }
  return seen;
}

/** Creates a ticket with a run on a repository other than MINE. */
async function foreignRun({ ticket, server }: ClientArena): Promise<string> {
  await ticket('F-1', 'acme/foreign');
  const command = { action: 'chat', message: 'hello' };
  const { body } = await call(server, 'POST', '/v1/tickets/F-1/runs', command, asAdmin);
  return body.run_id;
}

export const KEY_ATTACKS: readonly ClientAttack[] = [
  {
    name: 'a client reads tickets without a key',
    by: 'sends no key',
    harm: async ({ status }) => (await status('GET', LIST)) === 200,
    without: without({ file: AUTH, from: 'await authenticate(request, reply)', to: 'LOOPBACK' }),
  },
  {
    name: 'a client uses the id of a key with a wrong secret',
    by: 'sends the id of a valid key with a made-up secret',
    async harm({ newKey, status }) {
      const { key_id } = await newKey({ scopes: ['read'] });
      return (await status('GET', LIST, undefined, { 'x-api-key': `pw_${key_id}_${'A'.repeat(43)}` })) === 200;
    },
    without: without({ file: KEYS, from: 'if (!right || entry === undefined)', to: 'if (entry === undefined)' }),
  },
  {
    name: 'a client uses the first half of API_KEY',
    by: 'sends the first half of API_KEY',
    harm: async ({ status }) =>
      (await status('GET', LIST, undefined, { 'x-api-key': ADMIN_KEY.slice(0, ADMIN_KEY.length / 2) })) === 200,
    without: without({ file: KEYS, from: 'matches(text, environmentHash)', to: 'config.API_KEY?.startsWith(text)' }),
  },
  {
    name: 'a client finds out which key ids exist',
    by: 'compares the answers for a valid and an unknown id',
    async harm({ newKey, server }) {
      const { key_id } = await newKey({ scopes: ['read'] });
      const answers = [key_id, '000000000000'].map(async (id) => {
        const { status, body } = await call(server, 'GET', LIST, undefined, {
          'x-api-key': `pw_${id}_${'A'.repeat(43)}`,
        });
        return JSON.stringify([status, body]);
      });
      const [existing, missing] = await Promise.all(answers);
      return existing !== missing;
    },
    without: without({
      file: KEYS,
      from: 'const right = matches(',
      to: "if (parts && !entry) return { fault: 'There is no such key.' };\n      const right = matches(",
    }),
  },
  {
    name: 'a client uses an expired key',
    by: 'sends requests until after the expiry',
    async harm({ newKey, status }) {
      const expiry = Date.now() + 1500;
      const { headers } = await newKey({ scopes: ['read'], expires_at: new Date(expiry).toISOString() });
      let last = 200;
      while (Date.now() < expiry + 250) last = await status('GET', LIST, undefined, headers);
      return last === 200;
    },
    without: without({ file: KEY_ENTRY, from: 'Date.parse(row.expires_at) <= Date.now()', to: 'false' }),
  },
  {
    name: 'a client uses a revoked key',
    by: 'sends a request after the revocation',
    async harm({ newKey, status }) {
      const { key_id, headers } = await newKey({ scopes: ['read'] });
      await status('DELETE', `/v1/keys/${key_id}`, undefined, asAdmin);
      return (await status('GET', LIST, undefined, headers)) === 200;
    },
    without: without({ file: KEY_ENTRY, from: 'if (row.revoked_at !== null)', to: 'if (row.revoked_at === 0)' }),
  },
  {
    name: 'a client keeps a stream after the revocation of its key',
    by: 'reads a stream that it opened before the revocation',
    async harm(arena) {
      const { newKey, server, ticket, status, world } = arena;
      world.gemini.on('keep talking', [{ hang: true }, { text: 'over' }]);
      await ticket('K-1');
      const command = { action: 'chat', message: 'keep talking' };
      const { body } = await call(server, 'POST', '/v1/tickets/K-1/runs', command, asAdmin);
      const { key_id, headers } = await newKey({ scopes: ['read'] });
      const stream = await fetch(new URL(`/v1/runs/${body.run_id}/events`, server.url), { headers });
      await status('DELETE', `/v1/keys/${key_id}`, undefined, asAdmin);
      await status('POST', `/v1/runs/${body.run_id}/cancel`, undefined, asAdmin);
      return (await stream.text()).includes('run.canceled');
    },
    without: without({
      file: KEYS,
      from: 'revoked_at: revokedAt };\n      watchers.notify(keyId);',
      to: 'revoked_at: revokedAt };',
    }),
  },
  {
    name: 'a client guesses keys without limit',
    by: 'sends one wrong key after another',
    given: settings({ AUTH_FAILURES_PER_MINUTE: '3' }),
    alone: true,
    harm: async (arena) => (await guesses(arena, 6)).slice(3).includes(401),
    without: settings({ AUTH_FAILURES_PER_MINUTE: '100000' }),
  },
  {
    name: 'a client guesses keys from forged addresses',
    by: 'sends wrong keys, each with another `X-Forwarded-For`',
    given: settings({ AUTH_FAILURES_PER_MINUTE: '3' }),
    alone: true,
    harm: async (arena) =>
      (await guesses(arena, 6, (index) => ({ 'x-forwarded-for': `203.0.113.${index}` }))).slice(3).includes(401),
    without: settings({ TRUST_PROXY: '127.0.0.1' }),
  },
  {
    name: 'a client guesses keys from forged addresses behind a proxy',
    by: 'sends the same through a trusted proxy that appends the true address',
    given: settings({ AUTH_FAILURES_PER_MINUTE: '3', TRUST_PROXY: '127.0.0.1' }),
    alone: true,
    harm: async (arena) =>
      (await guesses(arena, 6, (index) => ({ 'x-forwarded-for': `203.0.113.${index}, 198.51.100.9` })))
        .slice(3)
        .includes(401),
    without: settings({ TRUST_PROXY: '127.0.0.1,198.51.100.0/24' }),
  },
  {
    name: 'a client finds the right key after too many guesses',
    by: 'sends the right key after the limit of wrong ones',
    given: settings({ AUTH_FAILURES_PER_MINUTE: '3' }),
    alone: true,
    async harm(arena) {
      await guesses(arena, 4);
      return (await arena.status('GET', LIST, undefined, asAdmin)) === 200;
    },
    without: without({ file: AUTH, from: 'await limits.checkFailures(request, reply);', to: '' }),
  },
  {
    name: 'a client exceeds the rate limit of its address',
    by: 'sends more requests than an address may send',
    given: settings({ RATE_LIMIT_PER_MINUTE: '5' }),
    alone: true,
    harm: async (arena) => (await guesses(arena, 8)).at(-1) !== 429,
    without: settings({ RATE_LIMIT_PER_MINUTE: '100000' }),
  },
  {
    name: 'a client exceeds the rate limit of its key',
    by: 'sends more requests than a key may send',
    given: settings({ KEY_RATE_LIMIT_PER_MINUTE: '5' }),
    alone: true,
    async harm({ status }) {
      let last = 0;
      for (let index = 0; index < 8; index += 1) last = await status('GET', LIST, undefined, asAdmin);
      return last === 200;
    },
    without: settings({ KEY_RATE_LIMIT_PER_MINUTE: '100000' }),
  },
  {
    name: 'a reader starts a run',
    by: 'starts a `chat` with the scope `read`',
    async harm({ newKey, status, ticket }) {
      await ticket('K-2');
      const { headers } = await newKey({ scopes: ['read'] });
      return (await status('POST', '/v1/tickets/K-2/runs', { action: 'chat', message: 'hi' }, headers)) === 202;
    },
    without: without(SCOPES, ACTIONS),
  },
  {
    name: 'a key with the scope chat starts a dev run',
    by: 'starts a `dev` run with the scope `chat`',
    async harm({ newKey, status, ticket }) {
      await ticket('K-3');
      const { headers } = await newKey({ scopes: ['chat'] });
      return (await status('POST', '/v1/tickets/K-3/runs', { action: 'dev' }, headers)) === 202;
    },
    without: without(ACTIONS),
  },
  {
    name: 'a key without the scope admin creates an admin key',
    by: 'requests a key with the scope `admin`',
    async harm({ newKey, status }) {
      const { headers } = await newKey({ scopes: ['chat', 'plan', 'dev'] });
      return (await status('POST', '/v1/keys', { name: 'mine', scopes: ['admin'] }, headers)) === 201;
    },
    without: without(SCOPES),
  },
  {
    name: 'a key without the scope admin reads the audit log',
    by: 'requests the audit log with all other scopes',
    async harm({ newKey, status }) {
      const { headers } = await newKey({ scopes: ['chat', 'plan', 'dev'] });
      return (await status('GET', '/v1/audit', undefined, headers)) === 200;
    },
    without: without(SCOPES),
  },
  {
    name: 'a key for one repository reads a ticket of another',
    by: 'reads the ticket by its id',
    async harm(arena) {
      await arena.ticket('F-1', 'acme/foreign');
      const { headers } = await arena.newKey({ scopes: ['read'], repositories: [MINE] });
      return (await arena.status('GET', '/v1/tickets/F-1', undefined, headers)) === 200;
    },
    without: without(REPOSITORIES),
  },
  ...(['DELETE /v1/tickets/F-1?force=true', 'POST /v1/tickets/F-1/sync'] as const).map(
    (operation): ClientAttack => ({
      name: `a key for one repository calls ${operation} of another`,
      by: 'names its own repository in an unexpected body',
      async harm(arena) {
        await arena.ticket('F-1', 'acme/foreign');
        const { headers } = await arena.newKey({ scopes: ['dev'], repositories: [MINE] });
        const [method = '', path = ''] = operation.split(' ');
        return (await arena.status(method, path, { repo_url: `https://${MINE}` }, headers)) < 300;
      },
      without: without(NO_BODY, {
        file: 'plugins/hooks/repository-limits.ts',
        from: '[path.ticket_id, body.repo_url === undefined ? body.ticket_id : undefined]',
        to: '[body.repo_url === undefined ? (path.ticket_id ?? body.ticket_id) : undefined]',
      }),
    }),
  ),
  {
    name: 'a client forges the ticket in the audit log',
    by: 'deletes a ticket and names another in the body',
    async harm({ ticket, status, server }) {
      await ticket('K-7');
      await status('DELETE', '/v1/tickets/K-7', { ticket_id: 'K-8' }, asAdmin);
      const { body } = await call(server, 'GET', '/v1/audit', undefined, asAdmin);
      return body.items[0].ticket_id === 'K-8';
    },
    without: without({
      file: 'plugins/hooks/audit-log.ts',
      from: '...idsIn(request.body), ...idsIn(request.params)',
      to: '...idsIn(request.params), ...idsIn(request.body)',
    }),
  },
  {
    name: 'a key for one repository reads a run of another',
    by: "reads the events by the run's id",
    async harm(arena) {
      const run = await foreignRun(arena);
      const { headers } = await arena.newKey({ scopes: ['read'], repositories: [MINE] });
      const page = { ...headers, accept: 'application/json' };
      return (await arena.status('GET', `/v1/runs/${run}/events`, undefined, page)) === 200;
    },
    without: without(REPOSITORIES),
  },
  {
    name: 'a key for one repository sees a run of another in the list',
    by: 'lists the runs',
    async harm(arena) {
      const run = await foreignRun(arena);
      const { headers } = await arena.newKey({ scopes: ['read'], repositories: [MINE] });
      const { body } = await call(arena.server, 'GET', '/v1/runs', undefined, headers);
      return JSON.stringify(body).includes(run);
    },
    without: without({ file: RUNS, from: 'repositories: request.caller.repositories', to: '' }),
  },
  {
    name: 'a key for one repository creates a ticket on another',
    by: 'creates a ticket with the URL of the other repository',
    async harm({ newKey, status, world }) {
      await world.github.addRepository('acme/foreign').catch(() => {});
      const { headers } = await newKey({ scopes: ['dev'], repositories: [MINE] });
      const body = { ticket_id: 'F-2', repo_url: 'https://github.com/acme/foreign' };
      return (await status('POST', '/v1/tickets', body, headers)) < 300;
    },
    without: without(REPOSITORIES),
  },
  {
    name: 'a key for one repository finds out which tickets of others exist',
    by: 'compares the answers for an existing and an unknown ticket',
    async harm(arena) {
      await arena.ticket('F-1', 'acme/foreign');
      const { headers } = await arena.newKey({ scopes: ['read'], repositories: [MINE] });
      const answers = ['F-1', 'X-1'].map(async (id) => {
        const { status, body } = await call(arena.server, 'GET', `/v1/tickets/${id}`, undefined, headers);
        return JSON.stringify([status, body]).replaceAll(id, 'ID');
      });
      const [existing, missing] = await Promise.all(answers);
      return existing !== missing;
    },
    without: without({
      file: 'plugins/hooks/repository-limits.ts',
      from: "throw new AppError('ticket_not_found'",
      to: "throw new AppError((await store.tickets.get(ticket_id)) ? 'forbidden_repository' : 'ticket_not_found'",
    }),
  },
  {
    name: 'a key opens streams without limit',
    by: 'opens more streams than a key may have',
    given: settings({ MAX_STREAMS_PER_KEY: '2' }),
    async harm({ server, ticket, world, status }) {
      world.gemini.on('listen to this', [{ hang: true }, { text: 'over' }]);
      await ticket('K-4');
      const command = { action: 'chat', message: 'listen to this' };
      const { body } = await call(server, 'POST', '/v1/tickets/K-4/runs', command, asAdmin);
      const streams: Response[] = [];
      for (let index = 0; index < 3; index += 1) {
        streams.push(await fetch(new URL(`/v1/runs/${body.run_id}/events`, server.url), { headers: asAdmin }));
      }
      await status('POST', `/v1/runs/${body.run_id}/cancel`, undefined, asAdmin);
      await Promise.all(streams.map((stream) => stream.text()));
      return streams.at(-1)?.status === 200;
    },
    without: settings({ MAX_STREAMS_PER_KEY: '1000' }),
  },
  {
    name: 'a key fills the queue',
    by: 'starts more runs than a key may have',
    given: settings({ MAX_RUNS_PER_KEY: '2', MAX_CONCURRENT_RUNS: '1' }),
    harm: (arena) => canFlood(arena, 'K-5'),
    without: settings({ MAX_RUNS_PER_KEY: '1000' }),
  },
  {
    name: 'the queue grows without limit',
    by: 'starts more runs than the queue may hold',
    given: settings({ MAX_QUEUED_RUNS: '2', MAX_CONCURRENT_RUNS: '1' }),
    harm: (arena) => canFlood(arena, 'K-6'),
    without: settings({ MAX_QUEUED_RUNS: '1000' }),
  },
];

/** Starts many runs and cancels them; returns whether the last one was accepted. */
async function canFlood({ server, ticket, world, status }: ClientArena, id: string): Promise<boolean> {
  world.gemini.on('flood', [{ hang: true }, { text: 'over' }]);
  await ticket(id);
  const command = { action: 'chat', message: 'flood' };
  const answers = [];
  for (let index = 0; index < 6; index += 1) {
    answers.push(await call(server, 'POST', `/v1/tickets/${id}/runs`, command, asAdmin));
  }
  for (const { body } of answers.toReversed()) {
    if (body.run_id !== undefined) await status('POST', `/v1/runs/${body.run_id}/cancel`, undefined, asAdmin);
  }
  return answers.at(-1)?.status === 202;
}
