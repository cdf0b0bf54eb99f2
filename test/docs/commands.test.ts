import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { KeyCreated } from '../../schemas/key.ts';
import type { Permission } from '../../schemas/permission.ts';
import type { Run } from '../../schemas/run.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { sampleScripts } from '../../standins/sample-ticket.ts';
import { call, events } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin } from '../helpers/keys.ts';
import { makeWorld, REPO, startServer, TOKEN } from '../helpers/server.ts';
import { blocksOf, commandsOf, createShell, makeCheckout } from './shell.ts';

/** Commands of `sh` blocks that this test does not execute, each with the reason. */
const NOT_EXECUTED = new Map([
  ['git clone https://github.com/pullwright/pullwright && cd pullwright', 'github.com is not reached from here'],
  ['npm run demo', 'a separate step in .ci/run'],
  ['npm test', 'runs this test'],
  ['docker compose up --build --detach', 'no Docker here; test/deploy/deploy.test.ts reads the files'],
  ['docker compose exec pullwright pullwright doctor', 'no Docker here'],
  ['docker compose exec pullwright pullwright backup /data/backup.tar.gz', 'no Docker here'],
  ['docker compose cp pullwright:/data/backup.tar.gz .', 'no Docker here'],
  ['docker compose exec pullwright rm /data/backup.tar.gz', 'no Docker here'],
  ['npm run bench', 'half an hour'],
  ['npm run bench -- relay deliveries', 'minutes'],
  ['npm run bench -- agent-servers', 'installs 0.9 GB'],
  ['npm run bench -- --short', 'a minute, and a separate step'],
  ['npm run bench -- get-ticket --profile /tmp/p', 'minutes'],
  ['npm run bench -- --write', 'half an hour, and it changes a page'],
  ['npm run test:faults -- --runs 200 --seed 1', 'an hour; test/faults/faults.test.ts runs some of them'],
]);

const root = new URL('../../', import.meta.url);
const pages = [
  'README.md',
  ...readdirSync(new URL('docs/', root))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const found = new Set<string>();
/** The blocks of docs/api.md, split at the one that exports a key. */
const apiBlocks = splitAt('docs/api.md', 'export PULLWRIGHT_API_KEY');

function splitAt(page: string, command: string) {
  const blocks = blocksOf(page);
  const at = blocks.findIndex(({ text }) => text.includes(command));
  return { withoutKey: blocks.slice(0, at), withKey: blocks.slice(at) };
}

type Context = {
  shell: ReturnType<typeof createShell>;
  url: string;
  /** Replacements for words of the page. */
  words: Record<string, string | (() => Promise<string>)>;
};

/** Executes the commands of a page, or of the given blocks; each must succeed. */
async function execute(t: Test, page: string, context: Context, blocks = blocksOf(page)): Promise<void> {
  for (const block of blocks.filter(({ language }) => language === 'sh')) {
    for (const written of commandsOf(block)) {
      const command = written.replace(/\s+#.*$/, '');
      found.add(command);
      if (NOT_EXECUTED.has(command)) continue;
      const { code, stdout, stderr } = await context.shell.run(await filledIn(command, context));
      t.equal(code, 0, `${page}:${block.line} ${command}`, { stdout, stderr });
      t.notMatch(stdout, /^data: Error/m, 'the stream has no Error line');
    }
  }
}

async function filledIn(command: string, { url, words }: Context): Promise<string> {
  let text = command.replaceAll('localhost:8000', new URL(url).host);
  for (const [word, value] of Object.entries(words)) {
    if (text.includes(word)) text = text.replaceAll(word, typeof value === 'string' ? value : await value());
  }
  return text;
}

t.test('the commands of README.md and of the API, CLI, limits and client pages succeed', async (t) => {
  const world = await makeWorld(t);
  world.gemini.script(sampleScripts);
  const { DATA_DIR: _, TICKETS_ROOT: __, GITHUB_TOKEN: ___, GEMINI_API_KEY: key = '', ...env } = world.env;
  const cwd = makeCheckout(join(world.dir, 'pullwright'));
  const editor = join(world.dir, 'editor');
  writeFileSync(editor, '#!/bin/sh\nprintf "\\n6. Typed by hand.\\n" >>"$1"\n');
  chmodSync(editor, 0o755);

  const blocks = blocksOf('README.md');
  const start = blocks.findIndex(({ text }) => text.includes('npm start'));
  const setUp = createShell(t, cwd, env);
  const words = { 'GEMINI_API_KEY=...': `GEMINI_API_KEY=${key}`, 'GITHUB_TOKEN=...': `GITHUB_TOKEN=${TOKEN}` };
  const [serve = '', ...others] = blocks
    .slice(0, start + 1)
    .flatMap(commandsOf)
    .reverse();
  t.equal(serve, 'npm start', '`npm start` comes last');
  for (const command of others.reverse().map((command) => command.replace(/\s+#.*$/, ''))) {
    found.add(command);
    if (NOT_EXECUTED.has(command)) continue;
    t.match(await setUp.run(await filledIn(command, { shell: setUp, url: 'http://-', words })), { code: 0 }, command);
  }
  found.add(serve);
  const url = await setUp.serve(serve);
  const shell = createShell(t, cwd, { ...env, PORT: new URL(url).port, EDITOR: editor });
  // docs/workspaces.md has this command for a person who is root.
  t.match(await shell.run("git config --global --add safe.directory '*'"), { code: 0 });

  await execute(t, 'README.md', { shell, url, words: { 'YOU/REPO': 'acme/duration' } }, blocks.slice(start + 1));
  t.equal(world.github.pulls('acme/duration').length, 1);
  await execute(t, 'docs/api.md', { shell, url, words: {} }, apiBlocks.withoutKey);

  t.equal((await call({ url }, 'DELETE', '/v1/tickets/REL-123?force=true')).status, 204);
  await world.github.addRepository('acme/again', {
    from: fileURLToPath(new URL('../../standins/sample', import.meta.url)),
  });
  await execute(t, 'docs/cli.md', { shell, url, words: { 'YOU/REPO': 'acme/again' } });
  t.equal(world.github.pulls('acme/again').length, 1);

  world.gemini.on('Stop halfway.', [
    { calls: [{ name: 'write_file', args: { file_path: 'half.md', content: 'half\n' } }] },
    { error: { status: 400, message: 'this request is malformed' } },
  ]);
  const stopped = await call<Run>({ url }, 'POST', '/v1/tickets/REL-123/runs', {
    action: 'dev',
    message: 'Stop halfway.',
  });
  t.equal((await events({ url }, stopped.body.run_id)).at(-1)?.type, 'run.failed');
  await execute(t, 'docs/limits.md', { shell, url, words: { RUN_ID: stopped.body.run_id } });

  t.equal((await call({ url }, 'DELETE', '/v1/tickets/REL-123?force=true')).status, 204);
  const [program] = blocksOf('docs/client.md').filter(({ language }) => language === 'ts');
  const client = fileURLToPath(new URL('../../client/client.ts', import.meta.url));
  const text = (program?.text ?? '')
    .replace('@pullwright/client', client)
    .replace('http://127.0.0.1:8000', url)
    .replace('acme/widgets', 'acme/duration');
  writeFileSync(join(cwd, 'program.ts'), text);
  t.match(await shell.run('node program.ts'), { code: 0, stdout: /It comes from `format`/ }, 'docs/client.md');
});

t.test('the commands of docs/api.md, docs/operations.md and docs/observability.md succeed with a key', async (t) => {
  const world = await makeWorld(t);
  const server = await startServer(t, world, { API_KEY: ADMIN_KEY });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'REL-123', repo_url: REPO }, asAdmin);
  const cwd = makeCheckout(join(world.dir, 'pullwright'));
  for (const folder of ['backups', 'srv']) mkdirSync(join(world.dir, folder));
  const context = {
    shell: createShell(t, cwd, { PULLWRIGHT_URL: server.url, PULLWRIGHT_API_KEY: ADMIN_KEY }),
    url: server.url,
    words: {
      'PULLWRIGHT_API_KEY=...': `PULLWRIGHT_API_KEY=${ADMIN_KEY}`,
      '/backups/': `${world.dir}/backups/`,
      '/srv/': `${world.dir}/srv/`,
      '3f9a0c51d27e': async () => {
        const { body } = await call<{ items: KeyCreated[] }>(server, 'GET', '/v1/keys', undefined, asAdmin);
        return body.items[0]?.key_id ?? '';
      },
    },
  };
  await execute(t, 'docs/api.md', context, apiBlocks.withKey);
  await execute(t, 'docs/operations.md', context);
  await execute(t, 'docs/observability.md', context);
});

t.test('the commands of docs/permissions.md succeed with an agent that asks', async (t) => {
  const world = await makeWorld(t);
  world.gemini.script(sampleScripts);
  const server = await startServer(t, world, { ASK_PERMISSION: 'execute' });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'REL-123', repo_url: REPO });
  const dev = await call<Run>(server, 'POST', '/v1/tickets/REL-123/runs', { action: 'dev' });
  await events(server, dev.body.run_id, { until: ({ type }) => type === 'run.waiting' });
  const open = await call<{ items: Permission[] }>(server, 'GET', '/v1/permissions');
  const words = { '/runs/RUN/': `/runs/${dev.body.run_id}/`, PERMISSION: open.body.items[0]?.permission_id ?? '' };
  await execute(t, 'docs/permissions.md', { shell: createShell(t, world.dir, {}), url: server.url, words });
  t.equal((await events(server, dev.body.run_id)).at(-1)?.type, 'run.succeeded');
});

t.test('each `ini` block loads as settings', async (t) => {
  for (const page of pages) {
    for (const { line, text } of blocksOf(page).filter(({ language }) => language === 'ini')) {
      t.doesNotThrow(() => loadConfig({}, join(t.testdir({ '.env': text }), '.env')), `${page}:${line}`);
    }
  }
});

t.test('each command of the pages was executed or is in NOT_EXECUTED', async (t) => {
  for (const page of pages) {
    for (const block of blocksOf(page)) {
      if (block.language === '')
        t.notMatch(block.text, /^(?:npm|npx|curl|git|node|docker|bin\/)\b/m, `${page}:${block.line} is marked sh`);
      if (block.language !== 'sh') continue;
      for (const command of commandsOf(block)) {
        const text = command.replace(/\s+#.*$/, '');
        t.ok(found.has(text) || NOT_EXECUTED.has(text), `${page}:${block.line} ${text}`);
      }
    }
  }
  const written = new Set(
    pages.flatMap((page) => blocksOf(page).flatMap(commandsOf)).map((text) => text.replace(/\s+#.*$/, '')),
  );
  for (const command of NOT_EXECUTED.keys()) t.ok(written.has(command), `a page still has ${command}`);
});
