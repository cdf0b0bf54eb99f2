import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { withoutDefences } from '../attacks/client-arena.ts';
import type { Edit } from '../attacks/remove-defences.ts';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, type Server, type World } from '../helpers/server.ts';
import { backdate } from '../helpers/store.ts';
import { chownTo, SERVER_USERS, type ServerUser, startServerAs } from '../helpers/users.ts';
import { commitEntries } from '../workspaces/world.ts';
import { breaches } from './breaches.ts';
import { type FileCall, fileCalls, readTrace, straceCommand } from './file-calls.ts';

/**
 * Checks the rule that no program with the view of the host opens, follows or walks a path that an agent can write.
 * strace records a real server and its child processes through a scenario, and the test checks each file call.
 */
const MANY = Array.from({ length: 1000 }, (_, index) => ({
  path: `d${index % 10}/${index}.txt`,
  content: `${index}\n`,
}));
const HOSTILE = `
  git init -q nested; git init -q deep/nested; mkdir -p a/b; echo x | tee nested/f deep/nested/f a/b/c work.txt
  ln -s /etc/passwd link; ln -s / up; ln -s ../../../.. deep/up; mkfifo pipe; chmod 0 a/b`;
const HOSTILE_CONVERSATION =
  'ln -s / ~/.gemini/tmp/*/chats/up; ln -s /etc/passwd ~/.gemini/tmp/*/chats/session-x.jsonl';
/** Runs the server's own programs unconfined, as with SANDBOX=none. Agents stay in their sandboxes. */
const UNCONFINED: Edit = {
  file: 'src/sandbox/confined/confine.ts',
  from: "if (config.SANDBOX === 'none') {",
  to: "if (config.SANDBOX !== 'none') {",
};

const shell = (command: string) => [{ calls: [{ name: 'run_shell_command', args: { command } }] }, { text: 'Done.' }];

/** Creates a world whose servers run under strace, and collects their file calls. */
async function makeTracedWorld(t: Test, user: ServerUser, edits: readonly Edit[] = []) {
  const world = await makeWorld(t);
  const { env, nodeArgs } = withoutDefences({ edits: [...edits] });
  const calls: FileCall[] = [];
  let servers = 0;
  return {
    world,
    calls,
    async start(settings: Record<string, string> = {}) {
      servers += 1;
      const log = join(world.dir, `trace-${servers}`);
      await writeFile(log, '');
      chownTo(user, log);
      const all = { SANDBOX: 'bubblewrap', ...env, ...settings };
      const server = await startServerAs(t, world, user, all, nodeArgs, straceCommand(log));
      return {
        ...server,
        async stop() {
          const exit = await server.stop();
          calls.push(...fileCalls(await readTrace(log, server.process.pid), world.dir));
          return exit;
        },
      };
    },
  };
}

const create = (server: Server, ticket_id: string, repo_url = REPO) =>
  call(server, 'POST', '/v1/tickets', { ticket_id, repo_url });

/** Takes a ticket from its creation to its pull request, and reads it by each route. */
async function publishTicket(t: Test, server: Server, { gemini, github }: World): Promise<void> {
  gemini.on(/Action: make_plan/, [{ text: '# Goal\n\nDo it.' }]);
  gemini.on(/Action: dev/, shell(HOSTILE));
  gemini.on('add a link', shell(HOSTILE_CONVERSATION));
  t.equal((await create(server, 'T-1')).status, 201);
  t.match((await run(server, 'T-1', { action: 'chat', message: 'hello' })).run, { state: 'succeeded' });
  t.match((await run(server, 'T-1', { action: 'make_plan' })).run, { state: 'succeeded' });
  t.match((await run(server, 'T-1', { action: 'dev' })).run, { state: 'succeeded' });
  for (const path of ['', '/diff', '/runs', '/plan']) {
    t.equal((await call(server, 'GET', `/v1/tickets/T-1${path}`)).status, 200, path);
  }
  await github.commit('acme/duration', { files: { 'NEWS.md': 'news\n' } });
  t.match(await call(server, 'POST', '/v1/tickets/T-1/sync'), { status: 200, body: { updated: true } });
}

async function backUp(t: Test, server: Server): Promise<void> {
  const backup = await fetch(new URL('/v1/backup', server.url), { method: 'POST' });
  t.equal(backup.status, 200);
  await backup.arrayBuffer();
}

/** Cancels a `dev` run whose agent has written files and waits for its model. */
async function cancel(t: Test, server: Server, { gemini }: World, ticketId: string): Promise<void> {
  const [calls] = shell(`${HOSTILE}; ${HOSTILE_CONVERSATION}`);
  gemini.on('wait forever', [{ ...calls }, { hang: true }]);
  const { body } = await call(server, 'POST', `/v1/tickets/${ticketId}/runs`, {
    action: 'dev',
    message: 'wait forever',
  });
  await gemini.waitFor((request) => request.prompt.includes('wait forever') && request.state === 'held');
  t.equal((await call(server, 'GET', `/v1/tickets/${ticketId}/diff`)).status, 200);
  t.equal((await call(server, 'POST', `/v1/runs/${body.run_id}/cancel`)).status, 202);
  const response = await fetch(new URL(`/v1/runs/${body.run_id}/events`, server.url));
  t.match(await response.text(), /run\.canceled/);
}

for (const user of SERVER_USERS) {
  t.test(`a server of the user ${user.name} opens no path that an agent can write`, { skip: user.skip }, async (t) => {
    const { world, calls, start } = await makeTracedWorld(t, user);
    const { directory } = await world.github.addRepository('acme/many', { empty: true });
    commitEntries(directory, MANY);
    const many = 'https://github.com/acme/many';
    let server = await start({ AGENT_POOL_SPARE: '1', SPARE_CHECKOUTS: '1' });
    await server.logged(({ msg }) => msg === 'spare agent ready');
    t.equal((await create(server, 'M-1', many)).status, 201);
    await server.logged(({ msg }) => msg === 'spare checkout ready');
    t.equal((await create(server, 'M-2', many)).status, 201, 'the ticket takes the spare checkout');
    await publishTicket(t, server, world);
    await backUp(t, server);
    await cancel(t, server, world, 'M-2');
    await backUp(t, server);
    t.equal((await call(server, 'DELETE', '/v1/tickets/M-1')).status, 204);
    await server.stop();

    backdate(world, 31, 'T-1');
    server = await start();
    const parked = await call(server, 'POST', '/v1/housekeeping');
    t.match(parked.body, { parked: ['T-1'] });
    const { run: continued } = await run(server, 'T-1', { action: 'chat', message: 'continue' });
    t.match(continued, { state: 'succeeded' }, 'a new process continues after the workspace is restored');
    for (const ticketId of ['T-1', 'M-2']) {
      t.equal((await call(server, 'DELETE', `/v1/tickets/${ticketId}?force=true`)).status, 204);
    }
    await call(server, 'POST', '/v1/housekeeping');
    await server.stop();

    t.strictSame(report(breaches(calls, world.dir)), []);
    const sandboxed = new Set(calls.flatMap(({ view, program }) => (view === 'sandbox' ? [program] : [])));
    t.strictSame(
      ['git', 'node', 'find', 'du', 'bash'].filter((program) => !sandboxed.has(program)),
      [],
      'the trace has each confined program',
    );
  });
}

t.test('the check finds programs of the server when they are not confined', async (t) => {
  const [user] = SERVER_USERS;
  if (user === undefined) throw new Error('There is no user.');
  const { world, calls, start } = await makeTracedWorld(t, user, [UNCONFINED]);
  const server = await start();
  await publishTicket(t, server, world);
  await call(server, 'DELETE', '/v1/tickets/T-1?force=true');
  await server.stop();
  const found = new Set(breaches(calls, world.dir).map(({ program }) => program));
  t.strictSame(
    ['git', 'node', 'find', 'du'].filter((program) => !found.has(program)),
    [],
  );
});

function report(found: readonly FileCall[]): string[] {
  return found.map(({ view, program, line }) => `${program}, ${view}: ${line.slice(0, 300)}`);
}
