import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { call, run } from '../helpers/client.ts';
import { asAdmin } from '../helpers/keys.ts';
import { plainGit } from '../workspaces/world.ts';
import type { ClientArena } from './client-arena.ts';
import type { ClientAttack } from './client-attack.ts';
import type { Conditions } from './conditions.ts';

const REPO_URL = 'src/git/repo-url.ts';

/** Passes the URL to git unchecked. */
const ANY_URL: Conditions = {
  settings: () => ({ GIT_ALLOW_PROTOCOL: 'http:https:file:ext' }),
  edits: [
    {
      file: REPO_URL,
      from: '  const parts = (HTTPS.exec(value)',
      to: "  if (allowedHosts.length > 0) return { host: 'github.com', owner: 'a', name: value.replace(/\\W/g, ''), url: value };\n  const parts = (HTTPS.exec(value)",
    },
    { file: REPO_URL, from: '}.git`;', to: '}`;' },
  ],
};
const TRAFFIC = 'it would send traffic to other machines';

/** Creates a ticket on a URL; returns whether that succeeded, or the attacker's server was contacted. */
async function fetches(arena: ClientArena, id: string, repo_url: string): Promise<boolean> {
  const { status } = await call(arena.server, 'POST', '/v1/tickets', { ticket_id: id, repo_url }, asAdmin);
  return status < 300 || arena.visits() > 0;
}

const URLS: readonly ClientAttack[] = [
  {
    name: 'a repository URL runs a program',
    by: "`repo_url` is `ext::sh -c 'touch MARK'`",
    async harm(arena) {
      const mark = join(arena.folder, 'mark');
      await fetches(arena, 'U-1', `ext::touch ${mark}`);
      return existsSync(mark);
    },
    without: ANY_URL,
  },
  {
    name: 'a repository URL is a file URL',
    by: '`repo_url` is `file:///FOLDER`',
    async harm(arena) {
      const folder = join(arena.folder, 'private');
      plainGit(['init', '--quiet', '--initial-branch=main', folder]);
      plainGit(['commit', '--quiet', '--allow-empty', '--message', 'Private'], { cwd: folder });
      return fetches(arena, 'U-2', `file://${folder}`);
    },
    without: ANY_URL,
  },
  {
    name: 'a repository URL is a path',
    by: '`repo_url` is `/FOLDER`',
    async harm(arena) {
      const folder = join(arena.folder, 'private-path');
      plainGit(['init', '--quiet', '--initial-branch=main', folder]);
      plainGit(['commit', '--quiet', '--allow-empty', '--message', 'Private'], { cwd: folder });
      return fetches(arena, 'U-3', folder);
    },
    without: ANY_URL,
  },
  {
    name: 'a repository URL reaches a service of the machine',
    by: '`repo_url` is `http://127.0.0.1:PORT/a/b`',
    harm: (arena) => fetches(arena, 'U-4', `http://127.0.0.1:${arena.attackerPort}/a/b`),
    without: ANY_URL,
  },
  {
    name: 'a repository URL reaches a service of the machine by https',
    by: '`repo_url` is `https://127.0.0.1:PORT/a/b`',
    harm: (arena) => fetches(arena, 'U-5', `https://127.0.0.1:${arena.attackerPort}/a/b`),
    without: ANY_URL,
  },
  {
    name: 'a repository URL has an allowed host as its user',
    by: '`repo_url` is `http://github.com@127.0.0.1:PORT/a/b`',
    harm: (arena) => fetches(arena, 'U-6', `http://github.com@127.0.0.1:${arena.attackerPort}/a/b`),
    without: ANY_URL,
  },
  {
    name: 'a repository URL reaches a service of the machine by ssh',
    by: '`repo_url` is `ssh://git@127.0.0.1:PORT/a/b`',
    harm: (arena) => fetches(arena, 'U-7', `ssh://git@127.0.0.1:${arena.attackerPort}/a/b`),
    without: { ...ANY_URL, settings: () => ({ GIT_ALLOW_PROTOCOL: 'ssh' }) },
  },
  {
    name: 'a repository URL has an address as a number',
    by: '`repo_url` is `http://2130706433:PORT/a/b`',
    harm: (arena) => fetches(arena, 'U-8', `http://2130706433:${arena.attackerPort}/a/b`),
    without: ANY_URL,
  },
  {
    name: 'a repository URL climbs to another owner',
    by: '`repo_url` is `https://github.com/acme/../private/duration.git`',
    async harm(arena) {
      await arena.world.github.addRepository('private/duration').catch(() => {});
      return fetches(arena, 'U-9', 'https://github.com/acme/../private/duration.git');
    },
    without: ANY_URL,
  },
  {
    name: 'a repository URL has a host that looks like an allowed one',
    by: '`repo_url` is `https://\uff47ithub.com/a/b`, with a full-width letter',
    harm: (arena) => fetches(arena, 'U-10', 'https://\uff47ithub.com/a/b'),
    skipProof: TRAFFIC,
  },
  {
    name: 'a git server redirects to a service of the machine',
    by: 'the git server answers with a redirect to loopback',
    given: {
      settings: (port) => ({
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: `url.http://127.0.0.1:${port}/redirect/.insteadOf`,
        GIT_CONFIG_VALUE_0: 'https://github.com/',
      }),
    },
    async harm(arena) {
      await fetches(arena, 'U-11', 'https://github.com/acme/duration');
      // The first connection receives the redirect.
      return arena.visits() > 1;
    },
    without: {
      edits: [
        {
          file: 'src/git/environment.ts',
          from: "['http.followRedirects', 'false']",
          to: "['http.followRedirects', 'true']",
        },
      ],
    },
  },
];

const IDS: readonly ClientAttack[] = [
  ['a ticket id is a path', '../../escaped'],
  ['a ticket id is a hidden name', '.staging'],
  ['a ticket id is reserved by git', 'a.lock'],
  ['a ticket id has two lines', 'a\nb'],
].map(([name = '', ticket_id = '']) => ({
  name,
  by: `\`ticket_id\` is \`${JSON.stringify(ticket_id)}\``,
  async harm({ server }) {
    const body = { ticket_id, repo_url: 'https://github.com/acme/duration' };
    const { body: answer } = await call(server, 'POST', '/v1/tickets', body, asAdmin);
    // The error must be about the id itself, not about an operation with it.
    return !JSON.stringify(answer).includes('/ticket_id');
  },
  without: {
    edits: [
      {
        file: 'schemas/common.ts',
        from: '$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?$`',
        to: '$)[^]*$`',
      },
    ],
  },
}));

/** Reads the line stream of an answer of the model, parsed as in a browser. */
async function lines({ server, ticket, world }: ClientArena, id: string, text: string): Promise<EventSourceMessage[]> {
  world.gemini.on(`Say ${id}`, [{ text }]);
  await ticket(id);
  const command = { ticket_id: id, action: 'chat', message: `Say ${id}` };
  const { body } = await call(server, 'POST', '/command', command, asAdmin);
  const seen: EventSourceMessage[] = [];
  createParser({ onEvent: (event) => seen.push(event) }).feed(body);
  return seen;
}

const LINE_VIEW = 'plugins/routes/simple-api/line-format.ts';

const STREAMS: readonly ClientAttack[] = [
  {
    name: 'a model forges an event',
    by: 'the model writes a frame: `\\n\\nevent: evil\\nid: 999`',
    async harm(arena) {
      const seen = await lines(
        arena,
        'S-1',
        'a\n\nevent: evil\nid: 999\ndata: made up\r\revent: evil\rid: 999\r\n\r\nb',
      );
      return seen.some(({ event, id }) => event !== undefined || id === '999');
    },
    without: { edits: [{ file: LINE_VIEW, from: '.split(/\\r\\n|\\n|\\r(?!$)/)', to: '.split(/never/)' }] },
  },
  {
    name: 'a model forges the end of a stream',
    by: 'the model writes the line `__END__`',
    async harm(arena) {
      const seen = await lines(arena, 'S-2', 'a\n__END__\nb\n');
      return seen.slice(0, -1).some(({ data }) => data === '__END__');
    },
    without: { edits: [{ file: LINE_VIEW, from: 'return text === END ?', to: 'return text === null ?' }] },
  },
];

/** Edits a plan with a header; returns whether that replaced it. */
async function overwrites({ server, ticket, world, status }: ClientArena, id: string, header: Record<string, string>) {
  world.gemini.on(`Plan ${id}`, [{ text: '# Goal' }]);
  await ticket(id);
  await run(server, id, { action: 'make_plan', message: `Plan ${id}` }, asAdmin);
  return (await status('PUT', `/v1/tickets/${id}/plan`, { body: 'Evil.' }, { ...asAdmin, ...header })) === 200;
}

const PLANS = 'plugins/routes/plans.ts';
const ANY_MATCH: Conditions = {
  edits: [
    {
      file: PLANS,
      from: 'if (version === undefined) {',
      to: 'if (version === undefined) return 1;\n  if (!version) {',
    },
  ],
};

const EDITS: readonly ClientAttack[] = [
  {
    name: 'a client edits any version of a plan',
    by: 'edits a plan with `If-Match: *`',
    harm: (arena) => overwrites(arena, 'E-1', { 'if-match': '*' }),
    without: ANY_MATCH,
  },
  {
    name: 'a client edits one of several versions of a plan',
    by: 'edits a plan with `If-Match: "7", "1"`',
    harm: (arena) => overwrites(arena, 'E-2', { 'if-match': '"7", "1"' }),
    without: ANY_MATCH,
  },
  {
    name: 'a client edits a plan without its version',
    by: 'edits a plan without `If-Match`',
    harm: (arena) => overwrites(arena, 'E-3', {}),
    without: {
      edits: [
        {
          file: PLANS,
          from: 'if (header === undefined) {',
          to: 'if (header === undefined) return 1;\n  if (!header) {',
        },
      ],
    },
  },
];

export const REQUEST_ATTACKS: readonly ClientAttack[] = [...URLS, ...IDS, ...STREAMS, ...EDITS];
