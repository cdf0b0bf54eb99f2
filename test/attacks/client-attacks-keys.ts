import { call } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin } from '../helpers/keys.ts';
import type { ClientArena } from './client-arena.ts';
import type { ClientAttack } from './client-attack.ts';
import type { Edit } from './take-away.ts';

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

/** Statuses of tries one after another; those that keys which are not valid get. */
async function guesses({ status }: ClientArena, times: number, headers = (_index: number) => ({})) {
  const seen: number[] = [];
  for (let index = 0; index < times; index += 1) {
    seen.push(await status('GET', LIST, undefined, { ...WRONG, ...headers(index) }));
  }
  return seen;
}

/** A ticket on another repository, with a run, for those whose key is for MINE only. */
async function foreignRun({ ticket, server }: ClientArena): Promise<string> {
  await ticket('F-1', 'acme/foreign');
  const ask = { action: 'chat', message: 'hello' };
  const { body } = await call(server, 'POST', '/v1/tickets/F-1/runs', ask, asAdmin);
  return body.run_id;
}

export const WITH_KEYS: readonly ClientAttack[] = [
  {
    name: 'no key',
    by: 'reads the tickets without a key',
    harm: async ({ status }) => (await status('GET', LIST)) === 200,
    without: without({ file: AUTH, from: 'await authenticate(request, reply)', to: 'LOOPBACK' }),
  },
  {
    name: 'the right id with a wrong secret',
    by: 'sends the id of a key with a secret of its own',
    async harm({ holder, status }) {
      const { key_id } = await holder({ scopes: ['read'] });
      return (await status('GET', LIST, undefined, { 'x-api-key': `pw_${key_id}_${'A'.repeat(43)}` })) === 200;
    },
    without: without({ file: KEYS, from: 'if (!right || entry === undefined)', to: 'if (entry === undefined)' }),
  },
  {
    name: 'a key of the environment, begun',
    by: 'sends the first half of API_KEY',
    harm: async ({ status }) =>
      (await status('GET', LIST, undefined, { 'x-api-key': ADMIN_KEY.slice(0, ADMIN_KEY.length / 2) })) === 200,
    without: without({ file: KEYS, from: 'matches(text, environmentHash)', to: 'config.API_KEY?.startsWith(text)' }),
  },
  {
    name: 'which ids of keys there are',
    by: 'compares the answer to the id of a key with that to an id of none',
    async harm({ holder, server }) {
      const { key_id } = await holder({ scopes: ['read'] });
      const answers = [key_id, '000000000000'].map(async (id) => {
        const { status, body } = await call(server, 'GET', LIST, undefined, {
          'x-api-key': `pw_${id}_${'A'.repeat(43)}`,
        });
        return JSON.stringify([status, body]);
      });
      const [real, made] = await Promise.all(answers);
      return real !== made;
    },
    without: without({
      file: KEYS,
      from: 'const right = matches(',
      to: "if (parts && !entry) return { fault: 'There is no such key.' };\n      const right = matches(",
    }),
  },
  {
    name: 'a key that has expired',
    by: 'goes on with a key after its time',
    async harm({ holder, status }) {
      const ends = Date.now() + 1500;
      const { headers } = await holder({ scopes: ['read'], expires_at: new Date(ends).toISOString() });
      let last = 200;
      while (Date.now() < ends + 250) last = await status('GET', LIST, undefined, headers);
      return last === 200;
    },
    without: without({ file: KEY_ENTRY, from: 'Date.parse(row.expires_at) <= Date.now()', to: 'false' }),
  },
  {
    name: 'a key that was revoked',
    by: 'goes on with a key after its end',
    async harm({ holder, status }) {
      const { key_id, headers } = await holder({ scopes: ['read'] });
      await status('DELETE', `/v1/keys/${key_id}`, undefined, asAdmin);
      return (await status('GET', LIST, undefined, headers)) === 200;
    },
    without: without({ file: KEY_ENTRY, from: 'if (row.revoked_at !== null)', to: 'if (row.revoked_at === 0)' }),
  },
  {
    name: 'the stream of a key that was revoked',
    by: 'listens to a run on a stream that was opened before the end of its key',
    async harm(arena) {
      const { holder, server, ticket, status, world } = arena;
      world.gemini.on('go on and on', [{ hang: true }, { text: 'over' }]);
      await ticket('K-1');
      const ask = { action: 'chat', message: 'go on and on' };
      const { body } = await call(server, 'POST', '/v1/tickets/K-1/runs', ask, asAdmin);
      const { key_id, headers } = await holder({ scopes: ['read'] });
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
    name: 'guessing without end',
    by: 'tries one key after another',
    given: settings({ AUTH_FAILURES_PER_MINUTE: '3' }),
    alone: true,
    harm: async (arena) => (await guesses(arena, 6)).slice(3).includes(401),
    without: settings({ AUTH_FAILURES_PER_MINUTE: '100000' }),
  },
  {
    name: 'guessing from addresses that it makes up',
    by: 'tries one key after another, each with another `X-Forwarded-For`',
    given: settings({ AUTH_FAILURES_PER_MINUTE: '3' }),
    alone: true,
    harm: async (arena) =>
      (await guesses(arena, 6, (index) => ({ 'x-forwarded-for': `203.0.113.${index}` }))).slice(3).includes(401),
    without: settings({ TRUST_PROXY: '127.0.0.1' }),
  },
  {
    name: 'guessing from addresses that it makes up, behind a proxy',
    by: 'as before, where the proxy that is trusted adds the true one',
    given: settings({ AUTH_FAILURES_PER_MINUTE: '3', TRUST_PROXY: '127.0.0.1' }),
    alone: true,
    harm: async (arena) =>
      (await guesses(arena, 6, (index) => ({ 'x-forwarded-for': `203.0.113.${index}, 198.51.100.9` })))
        .slice(3)
        .includes(401),
    without: settings({ TRUST_PROXY: '127.0.0.1,198.51.100.0/24' }),
  },
  {
    name: 'whether a guess was right, once there were too many',
    by: 'sends the right key after as many wrong ones as are allowed',
    given: settings({ AUTH_FAILURES_PER_MINUTE: '3' }),
    alone: true,
    async harm(arena) {
      await guesses(arena, 4);
      return (await arena.status('GET', LIST, undefined, asAdmin)) === 200;
    },
    without: without({ file: AUTH, from: 'await limits.checkFailures(request, reply);', to: '' }),
  },
  {
    name: 'a flood from one address',
    by: 'sends more requests than an address may',
    given: settings({ RATE_LIMIT_PER_MINUTE: '5' }),
    alone: true,
    harm: async (arena) => (await guesses(arena, 8)).at(-1) !== 429,
    without: settings({ RATE_LIMIT_PER_MINUTE: '100000' }),
  },
  {
    name: 'a flood with one key',
    by: 'sends more requests than a key may',
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
    name: 'a reader that starts a run',
    by: 'asks for a chat with a key that may only read',
    async harm({ holder, status, ticket }) {
      await ticket('K-2');
      const { headers } = await holder({ scopes: ['read'] });
      return (await status('POST', '/v1/tickets/K-2/runs', { action: 'chat', message: 'hi' }, headers)) === 202;
    },
    without: without(SCOPES, ACTIONS),
  },
  {
    name: 'a chat that becomes work',
    by: 'asks for dev with a key that may chat',
    async harm({ holder, status, ticket }) {
      await ticket('K-3');
      const { headers } = await holder({ scopes: ['chat'] });
      return (await status('POST', '/v1/tickets/K-3/runs', { action: 'dev' }, headers)) === 202;
    },
    without: without(ACTIONS),
  },
  {
    name: 'a key that makes itself another',
    by: 'asks for a key with the scope admin, with one that may do the rest',
    async harm({ holder, status }) {
      const { headers } = await holder({ scopes: ['chat', 'plan', 'dev'] });
      return (await status('POST', '/v1/keys', { name: 'mine', scopes: ['admin'] }, headers)) === 201;
    },
    without: without(SCOPES),
  },
  {
    name: 'the log of who did what',
    by: 'reads the audit log without the scope admin',
    async harm({ holder, status }) {
      const { headers } = await holder({ scopes: ['chat', 'plan', 'dev'] });
      return (await status('GET', '/v1/audit', undefined, headers)) === 200;
    },
    without: without(SCOPES),
  },
  {
    name: 'a ticket of another repository',
    by: 'reads it with a key that is limited to one',
    async harm(arena) {
      await arena.ticket('F-1', 'acme/foreign');
      const { headers } = await arena.holder({ scopes: ['read'], repositories: [MINE] });
      return (await arena.status('GET', '/v1/tickets/F-1', undefined, headers)) === 200;
    },
    without: without(REPOSITORIES),
  },
  ...(['DELETE /v1/tickets/F-1?force=true', 'POST /v1/tickets/F-1/sync'] as const).map(
    (operation): ClientAttack => ({
      name: `a ticket of another repository, by ${operation}`,
      by: 'names a repository that the key is for, in a body that nobody asked for',
      async harm(arena) {
        await arena.ticket('F-1', 'acme/foreign');
        const { headers } = await arena.holder({ scopes: ['dev'], repositories: [MINE] });
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
    name: 'another name in the audit log',
    by: 'deletes a ticket and names another one in the body',
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
    name: 'a run of another repository',
    by: 'reads its events by its id',
    async harm(arena) {
      const run = await foreignRun(arena);
      const { headers } = await arena.holder({ scopes: ['read'], repositories: [MINE] });
      const page = { ...headers, accept: 'application/json' };
      return (await arena.status('GET', `/v1/runs/${run}/events`, undefined, page)) === 200;
    },
    without: without(REPOSITORIES),
  },
  {
    name: 'a run of another repository, in the list',
    by: 'reads the list of runs',
    async harm(arena) {
      const run = await foreignRun(arena);
      const { headers } = await arena.holder({ scopes: ['read'], repositories: [MINE] });
      const { body } = await call(arena.server, 'GET', '/v1/runs', undefined, headers);
      return JSON.stringify(body).includes(run);
    },
    without: without({ file: RUNS, from: 'repositories: request.caller.repositories', to: '' }),
  },
  {
    name: 'a ticket on another repository, made',
    by: 'creates a ticket there with a key that is limited to one',
    async harm({ holder, status, world }) {
      await world.github.addRepository('acme/foreign').catch(() => {});
      const { headers } = await holder({ scopes: ['dev'], repositories: [MINE] });
      const body = { ticket_id: 'F-2', repo_url: 'https://github.com/acme/foreign' };
      return (await status('POST', '/v1/tickets', body, headers)) < 300;
    },
    without: without(REPOSITORIES),
  },
  {
    name: 'which tickets of other repositories there are',
    by: 'compares the answer to one with that to none',
    async harm(arena) {
      await arena.ticket('F-1', 'acme/foreign');
      const { headers } = await arena.holder({ scopes: ['read'], repositories: [MINE] });
      const answers = ['F-1', 'X-1'].map(async (id) => {
        const { status, body } = await call(arena.server, 'GET', `/v1/tickets/${id}`, undefined, headers);
        return JSON.stringify([status, body]).replaceAll(id, 'ID');
      });
      const [real, made] = await Promise.all(answers);
      return real !== made;
    },
    without: without({
      file: 'plugins/hooks/repository-limits.ts',
      from: "throw new AppError('ticket_not_found'",
      to: "throw new AppError((await store.tickets.get(ticket_id)) ? 'forbidden_repository' : 'ticket_not_found'",
    }),
  },
  {
    name: 'streams without end',
    by: 'opens more streams than a key may hold',
    given: settings({ MAX_STREAMS_PER_KEY: '2' }),
    async harm({ server, ticket, world, status }) {
      world.gemini.on('listen to this', [{ hang: true }, { text: 'over' }]);
      await ticket('K-4');
      const ask = { action: 'chat', message: 'listen to this' };
      const { body } = await call(server, 'POST', '/v1/tickets/K-4/runs', ask, asAdmin);
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
    name: 'a queue full of runs of one key',
    by: 'starts more runs than a key may have',
    given: settings({ MAX_RUNS_PER_KEY: '2', MAX_CONCURRENT_RUNS: '1' }),
    harm: (arena) => floods(arena, 'K-5'),
    without: settings({ MAX_RUNS_PER_KEY: '1000' }),
  },
  {
    name: 'a queue without end',
    by: 'starts more runs than may wait',
    given: settings({ MAX_QUEUED_RUNS: '2', MAX_CONCURRENT_RUNS: '1' }),
    harm: (arena) => floods(arena, 'K-6'),
    without: settings({ MAX_QUEUED_RUNS: '1000' }),
  },
];

/** Whether the last of many runs was taken; they are ended again. */
async function floods({ server, ticket, world, status }: ClientArena, id: string): Promise<boolean> {
  world.gemini.on('flood', [{ hang: true }, { text: 'over' }]);
  await ticket(id);
  const ask = { action: 'chat', message: 'flood' };
  const answers = [];
  for (let index = 0; index < 6; index += 1) {
    answers.push(await call(server, 'POST', `/v1/tickets/${id}/runs`, ask, asAdmin));
  }
  for (const { body } of answers.toReversed()) {
    if (body.run_id !== undefined) await status('POST', `/v1/runs/${body.run_id}/cancel`, undefined, asAdmin);
  }
  return answers.at(-1)?.status === 202;
}
