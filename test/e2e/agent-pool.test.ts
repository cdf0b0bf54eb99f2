import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { withoutDefences } from '../attacks/client-arena.ts';
import { agentText, call, run } from '../helpers/client.ts';
import { noneLeft, processesIn } from '../helpers/processes.ts';
import { type LogRecord, makeWorld, REPO, type ServerProcess, startServerProcess } from '../helpers/server.ts';

const SPARE = { AGENT_POOL_SPARE: '1' };

/** Waits for a log record with a message and the given fields. */
function logs(server: ServerProcess, msg: string, fields: Partial<LogRecord> = {}): Promise<LogRecord> {
  return server.logged(
    (record) => record.msg === msg && Object.entries(fields).every(([name, value]) => record[name] === value),
  );
}

const create = (server: ServerProcess, ticket_id: string) =>
  call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
const chat = (server: ServerProcess, ticketId: string, message: string) =>
  run(server, ticketId, { action: 'chat', message });
const pool = async (server: ServerProcess) => (await call(server, 'GET', '/v1/agents')).body.pool;

t.test('the first command of a new ticket uses a spare agent', async (t) => {
  const world = await makeWorld(t);
  const { gemini } = world;
  gemini.on('read it', [{ calls: [{ name: 'read_file', args: { file_path: 'README.md' } }] }, { text: 'Read.' }]);
  gemini.on('look for', [{ calls: [{ name: 'grep_search', args: { pattern: 'parse' } }] }, { text: 'Found.' }]);
  const server = await startServerProcess(t, world, SPARE);
  const first = await logs(server, 'spare agent ready');
  t.match(await pool(server), { spare: 1, idle: 0, working: 0, early: 0 });

  t.equal((await create(server, 'NEW-1')).status, 201);
  t.match(await logs(server, 'spare agent claimed'), { ticket_id: 'NEW-1', pid: first.pid });
  const one = await chat(server, 'NEW-1', 'read it');
  t.match(one.run, { state: 'succeeded', result: { text: 'Read.' } });
  const prompt = JSON.stringify(gemini.requests.find((request) => request.prompt.includes('read it'))?.body.contents);
  t.match(prompt, /README\.md/, 'its context lists the files of the repository');
  const context = JSON.stringify(gemini.requests.at(-1)?.body.contents);
  t.match(context, /functionResponse/, 'the agent called a tool');
  t.match(context, /duration/i, 'the tool returned the file');
  const two = await chat(server, 'NEW-1', 'look for it');
  t.match(two.run, { state: 'succeeded', result: { text: 'Found.' } });
  t.match(JSON.stringify(gemini.requests.at(-1)?.body.contents), /Found \d+ match/, 'the agent can search without git');

  const second = await server.logged(({ msg, pid }) => msg === 'spare agent ready' && pid !== first.pid);
  t.equal((await create(server, 'NEW-2')).status, 201);
  t.match(await logs(server, 'spare agent claimed', { ticket_id: 'NEW-2' }), { pid: second.pid });
  t.equal(agentText((await chat(server, 'NEW-2', 'read it')).events), 'Read.');
  t.match((await call(server, 'GET', '/metrics')).body, /agent_starts_total\{agent="gemini",kind="spare"\} 2\n/);
  t.notMatch((await call(server, 'GET', '/metrics')).body, /kind="cold"/);

  t.test('the agent cannot read another ticket', async (t) => {
    const of = (ticket: string) => processesIn(join(world.dir, 'tickets', ticket)).map(({ pid }) => pid);
    t.ok(of('NEW-1').length > 0);
    t.ok(of('NEW-2').length > 0);
    t.same(
      of('NEW-1').filter((pid) => of('NEW-2').includes(pid)),
      [],
    );
    const other = join(world.dir, 'tickets/NEW-2/README.md');
    gemini.on('peek', [{ calls: [{ name: 'read_file', args: { file_path: other } }] }, { text: 'Peeked.' }]);
    await chat(server, 'NEW-1', 'peek');
    t.notMatch(JSON.stringify(gemini.requests.at(-1)?.body.contents?.slice(-2)), /duration/);
  });

  t.test('a conversation that began with a spare agent survives its process', async (t) => {
    process.kill(Number(second.pid), 'SIGKILL');
    await logs(server, 'agent exited', { pid: second.pid });
    const again = await chat(server, 'NEW-2', 'read it again');
    t.match(await logs(server, 'agent started', { ticket_id: 'NEW-2' }), {
      continued: true,
      run_id: again.run.run_id,
    });
    t.equal(again.run.state, 'succeeded');
  });

  t.test('deleting the ticket ends its agent and removes its conversation', async (t) => {
    t.equal((await call(server, 'DELETE', '/v1/tickets/NEW-1')).status, 204);
    await logs(server, 'agent exited', { pid: first.pid });
    t.notOk((await readdir(join(world.dir, 'data/conversations'))).includes('NEW-1'));
  });

  t.test('a killed server leaves no process, and the next server removes its folders', async (t) => {
    await server.logged(({ msg, pid }) => msg === 'spare agent ready' && pid !== first.pid && pid !== second.pid);
    await server.stop('SIGKILL');
    await noneLeft(world.dir);
    const next = await startServerProcess(t, world);
    t.same(await readdir(join(world.dir, 'tickets/.staging')), []);
    const left = (await readdir(join(world.dir, 'data/tmp'))).filter((name) => name.startsWith('spare-'));
    t.same(left, []);
    await next.stop();
    await noneLeft(world.dir);
  });
});

t.test('the pool replaces a dead spare agent, and a failed creation claims none', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, SPARE);
  const first = await logs(server, 'spare agent ready');
  process.kill(Number(first.pid), 'SIGKILL');
  await logs(server, 'spare agent exited', { pid: first.pid });
  const second = await server.logged(({ msg, pid }) => msg === 'spare agent ready' && pid !== first.pid);
  const missing = { ticket_id: 'NO-1', repo_url: 'https://github.com/acme/missing' };
  t.not((await call(server, 'POST', '/v1/tickets', missing)).status, 201);
  t.match(await pool(server), { spare: 1, idle: 0 });
  await create(server, 'OK-1');
  t.match(await logs(server, 'spare agent claimed'), { ticket_id: 'OK-1', pid: second.pid });
  await server.stop();
  await noneLeft(world.dir);
  t.same(await readdir(join(world.dir, 'tickets/.staging')), [], 'a stop leaves no staged folder');
});

t.test('the server survives a spare agent that can be neither used nor removed', async (t) => {
  const world = await makeWorld(t);
  // Injects failures of a process and a disk that a test cannot cause from outside.
  const fails = (from: string, to: string) => ({ file: 'src/agents/agents.ts', from, to });
  const { env, nodeArgs } = withoutDefences({
    edits: [
      fails('attachSpare: pool.attachSpare,', "attachSpare: async () => { throw new Error('no session'); },"),
      fails('await closeTicket(ticketId);', "throw new Error('not to be removed');"),
    ],
  });
  const server = await startServerProcess(t, world, env, nodeArgs);
  t.equal((await create(server, 'X-1')).status, 201);
  await logs(server, 'failed to attach spare agent', { ticket_id: 'X-1' });
  const last = await server.logged(({ msg }) => /failed to delete|nobody caught/.test(msg ?? ''));
  t.match(last, { msg: 'failed to delete spare agent', ticket_id: 'X-1' });
  t.equal((await call(server, 'GET', '/livez')).status, 200);
  t.equal((await server.stop()).code, 0);
});

t.test('the pool evicts the least recently used agent beyond its size or memory', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, { AGENT_POOL_SIZE: '1' });
  for (const ticket of ['A', 'B']) {
    await create(server, ticket);
    await chat(server, ticket, 'hello');
  }
  const { pid } = await logs(server, 'agent started', { ticket_id: 'A' });
  t.match(await logs(server, 'idle agent evicted'), { pid, reason: 'AGENT_POOL_SIZE' });
  t.notOk('run_id' in (await logs(server, 'agent exited', { pid })), 'its run had ended');
  t.match(await pool(server), { idle: 1 });
  await server.stop();

  const small = await startServerProcess(t, world, { AGENT_POOL_MEMORY_MB: '50', ...SPARE });
  t.match(await logs(small, 'AGENT_POOL_MEMORY_MB is too small for a spare agent'), {
    limit_mb: 50,
  });
  await chat(small, 'A', 'hello again');
  const kept = await logs(small, 'agent started', { ticket_id: 'A' });
  t.match(await logs(small, 'idle agent evicted', { pid: kept.pid }), { reason: 'AGENT_POOL_MEMORY_MB' });
  t.match(await pool(small), { spare: 0 });
});

t.test('the pool starts no spare agent that would evict a ticket agent', async (t) => {
  const world = await makeWorld(t);
  // Enough for one agent, not for two.
  const server = await startServerProcess(t, world, { AGENT_POOL_MEMORY_MB: '250', AGENT_IDLE_SECONDS: '5', ...SPARE });
  const { pid } = await logs(server, 'spare agent ready');
  await create(server, 'NEW-1');
  await chat(server, 'NEW-1', 'hello');
  const ended = await logs(server, 'agent exited', { pid });
  const next = await server.logged((record) => record.msg === 'spare agent ready' && record.pid !== pid);
  t.ok(Number(next.time) > Number(ended.time), 'the next spare agent starts after the idle one exited');
});

t.test('the pool ends an idle agent that does not answer', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, SPARE);
  const { pid } = await logs(server, 'spare agent ready');
  for (const inside of processesIn(join(world.dir, 'tickets'))) process.kill(inside.pid, 'SIGSTOP');
  t.match(await logs(server, 'idle agent evicted'), { pid, reason: 'unresponsive' });
  await server.logged((record) => record.msg === 'spare agent ready' && record.pid !== pid);
});

t.test('the pool prestarts a writer when a plan is approved', async (t) => {
  const world = await makeWorld(t);
  const { gemini } = world;
  gemini.on(/Action: make_plan/, [{ text: '# Plan\n\n1. Add a file.\n' }]);
  const write = { name: 'write_file', args: { file_path: 'src/new.ts', content: 'export {};\n' } };
  const command = 'ls /opt/compile-cache && ! touch /opt/compile-cache/x && echo "<$NODE_COMPILE_CACHE>"';
  const shell = { name: 'run_shell_command', args: { command } };
  gemini.on(/Action: dev/, [{ calls: [write] }, { calls: [shell] }, { text: 'Added.' }]);
  await rm(join(world.dir, 'data/agent-compile-cache'), { recursive: true, force: true });
  // As in the Docker image.
  const ownCache = join(world.dir, 'data/compile-cache');
  const server = await startServerProcess(t, world, { ...SPARE, NODE_COMPILE_CACHE: ownCache });
  await logs(server, 'compile cache created');
  t.match(await readdir(ownCache), [/^v\d+\./], 'beside the cache of the server');
  await create(server, 'P-1');
  t.match((await run(server, 'P-1', { action: 'make_plan' })).run, { state: 'succeeded' });
  const approve = () => call(server, 'POST', '/v1/tickets/P-1/plan/approve', { version: 1 });

  t.equal((await approve()).status, 200);
  const early = await logs(server, 'prestarted writer ready');
  t.match(await pool(server), { early: 1, idle: 1 }, 'the reader stays in the pool');
  const dev = await run(server, 'P-1', { action: 'dev' });
  t.match(dev.run, { state: 'succeeded' });
  const { run_id } = dev.run;
  t.match(await logs(server, 'prestarted writer acquired', { run_id }), {
    pid: early.pid,
    mode: 'write',
    continued: true,
  });
  t.match(await logs(server, 'agent exited', { pid: early.pid }), { run_id });
  t.match(await pool(server), { early: 0, idle: 0 }, 'the writer ended with its turn');
  const saw = JSON.stringify(gemini.requests.at(-1)?.body.contents?.slice(-1));
  t.match(saw, /v\d+\.\d+\.\d+-/, 'the agent has the compile cache');
  t.match(saw, /Read-only file system/, 'the agent cannot write the cache');
  t.match(saw, /<>/, 'programs of the agent do not use the cache');

  await approve();
  const unused = await server.logged(({ msg, pid }) => msg === 'prestarted writer ready' && pid !== early.pid);
  t.equal((await call<Run>(server, 'DELETE', '/v1/tickets/P-1?force=true')).status, 204);
  t.same(processesIn(join(world.dir, 'tickets/P-1')), [], `deleting the ticket ends ${unused.pid}`);
});

t.test('the idle timeout spares a writer that `dev` acquired while it started', async (t) => {
  const world = await makeWorld(t);
  const { gemini } = world;
  const write = { name: 'write_file', args: { file_path: 'src/new.ts', content: 'export {};\n' } };
  gemini.on(/Action: make_plan/, [{ text: '# Plan\n\n1. Add a file.\n' }]);
  gemini.on(/Action: dev/, [{ calls: [write] }, { hang: true }, { text: 'Added.' }]);
  const server = await startServerProcess(t, world, { AGENT_IDLE_SECONDS: '1' });
  for (const ticket of ['P-1', 'P-2']) await create(server, ticket);
  await run(server, 'P-1', { action: 'make_plan' });
  await logs(server, 'agent exited', { ticket_id: 'P-1', mode: 'read' });
  await call(server, 'POST', '/v1/tickets/P-1/plan/approve', { version: 1 });
  const workspace = join(world.dir, 'tickets/P-1');
  while (processesIn(workspace).length === 0) await new Promise((resolve) => setImmediate(resolve));

  const dev = run(server, 'P-1', { action: 'dev' });
  await logs(server, 'prestarted writer acquired', { ticket_id: 'P-1' });
  // An agent that is idle from now on shows when the timeout has passed.
  await chat(server, 'P-2', 'hello');
  await logs(server, 'agent exited', { ticket_id: 'P-2' });
  await Promise.race([dev, gemini.waitFor(({ state }) => state === 'held')]);
  gemini.release();
  t.match((await dev).run, { state: 'succeeded', attempt: 1 });
});
