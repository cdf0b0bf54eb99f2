import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { withoutDefences } from '../attacks/client-arena.ts';
import { call, run, said } from '../helpers/client.ts';
import { noneLeft, processesIn } from '../helpers/processes.ts';
import { type LogRecord, makeWorld, REPO, type ServerProcess, startServerProcess } from '../helpers/server.ts';

const SPARE = { AGENT_POOL_SPARE: '1' };

/** A record of the log that says `msg`, of the given process or ticket if one is given; of several, one after the other. */
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

t.test('the first command of a new ticket finds an agent that waited', async (t) => {
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
  t.match(prompt, /README\.md/, 'its context shows the files of the repository, not the empty folder');
  const told = JSON.stringify(gemini.requests.at(-1)?.body.contents);
  t.match(told, /functionResponse/, 'it read');
  t.match(told, /duration/i, 'what the repository holds');
  const two = await chat(server, 'NEW-1', 'look for it');
  t.match(two.run, { state: 'succeeded', result: { text: 'Found.' } });
  t.match(JSON.stringify(gemini.requests.at(-1)?.body.contents), /Found \d+ match/, 'it can search without git');

  const second = await server.logged(({ msg, pid }) => msg === 'spare agent ready' && pid !== first.pid);
  t.equal((await create(server, 'NEW-2')).status, 201);
  t.match(await logs(server, 'spare agent claimed', { ticket_id: 'NEW-2' }), { pid: second.pid });
  t.equal(said((await chat(server, 'NEW-2', 'read it')).events), 'Read.');
  t.match((await call(server, 'GET', '/metrics')).body, /agent_starts_total\{agent="gemini",kind="spare"\} 2\n/);
  t.notMatch((await call(server, 'GET', '/metrics')).body, /kind="cold"/);

  t.test('and sees nothing of another ticket', async (t) => {
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

  t.test('a conversation that began with a spare outlives its process', async (t) => {
    process.kill(Number(second.pid), 'SIGKILL');
    await logs(server, 'agent exited', { pid: second.pid });
    const again = await chat(server, 'NEW-2', 'read it again');
    t.match(await logs(server, 'agent started', { ticket_id: 'NEW-2' }), {
      continued: true,
      run_id: again.run.run_id,
    });
    t.equal(again.run.state, 'succeeded');
  });

  t.test('deleting the ticket ends it and leaves nothing', async (t) => {
    t.equal((await call(server, 'DELETE', '/v1/tickets/NEW-1')).status, 204);
    await logs(server, 'agent exited', { pid: first.pid });
    t.notOk((await readdir(join(world.dir, 'data/conversations'))).includes('NEW-1'));
  });

  t.test('a killed server leaves no process, and the next one no folder', async (t) => {
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

t.test('a spare that dies is replaced, and a ticket that cannot be made takes none', async (t) => {
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
  t.same(await readdir(join(world.dir, 'tickets/.staging')), [], 'a stop leaves nothing behind');
});

t.test('a spare that can neither be used nor cleared away does not end the server', async (t) => {
  const world = await makeWorld(t);
  // A process or a disk that fails at this very moment, which a test cannot bring about from outside.
  const fails = (from: string, to: string) => ({ file: 'src/agents/agents.ts', from, to });
  const { env, nodeArgs } = withoutDefences({
    edits: [
      fails('attachSpare: pool.attachSpare,', "attachSpare: async () => { throw new Error('no session'); },"),
      fails('await closeTicket(ticketId);', "throw new Error('not to be removed');"),
    ],
  });
  const server = await startServerProcess(t, world, env, nodeArgs);
  t.equal((await create(server, 'X-1')).status, 201);
  await logs(server, 'a spare agent could not be used', { ticket_id: 'X-1' });
  const last = await server.logged(({ msg }) => /could not be forgotten|nobody caught/.test(msg ?? ''));
  t.match(last, { msg: 'a spare agent could not be forgotten', ticket_id: 'X-1' });
  t.equal((await call(server, 'GET', '/livez')).status, 200);
  t.equal((await server.stop()).code, 0);
});

t.test('idle agents are limited in number and memory, the longest unused first', async (t) => {
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

t.test('no spare is started at the cost of an agent that a ticket has', async (t) => {
  const world = await makeWorld(t);
  // Enough for one, not for two.
  const server = await startServerProcess(t, world, { AGENT_POOL_MEMORY_MB: '250', AGENT_IDLE_SECONDS: '5', ...SPARE });
  const { pid } = await logs(server, 'spare agent ready');
  await create(server, 'NEW-1');
  await chat(server, 'NEW-1', 'hello');
  const ended = await logs(server, 'agent exited', { pid });
  const next = await server.logged((record) => record.msg === 'spare agent ready' && record.pid !== pid);
  t.ok(Number(next.time) > Number(ended.time), 'the next one is, when that has been idle for its time');
});

t.test('an idle agent that does not answer is ended', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, SPARE);
  const { pid } = await logs(server, 'spare agent ready');
  for (const inside of processesIn(join(world.dir, 'tickets'))) process.kill(inside.pid, 'SIGSTOP');
  t.match(await logs(server, 'idle agent evicted'), { pid, reason: 'unresponsive' });
  await server.logged((record) => record.msg === 'spare agent ready' && record.pid !== pid);
});

t.test('the agent of dev is started when the plan is approved', async (t) => {
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
  t.match(await readdir(ownCache), [/^v\d+\./], 'beside the one of the server');
  await create(server, 'P-1');
  t.match((await run(server, 'P-1', { action: 'make_plan' })).run, { state: 'succeeded' });
  const approve = () => call(server, 'POST', '/v1/tickets/P-1/plan/approve', { version: 1 });

  t.equal((await approve()).status, 200);
  const early = await logs(server, 'prestarted writer ready');
  t.match(await pool(server), { early: 1, idle: 1 }, 'beside the reader, which is still there');
  const dev = await run(server, 'P-1', { action: 'dev' });
  t.match(dev.run, { state: 'succeeded' });
  const { run_id } = dev.run;
  t.match(await logs(server, 'prestarted writer acquired', { run_id }), {
    pid: early.pid,
    mode: 'write',
    continued: true,
  });
  t.match(await logs(server, 'agent exited', { pid: early.pid }), { run_id });
  t.match(await pool(server), { early: 0, idle: 0 }, 'it ended with its turn');
  const saw = JSON.stringify(gemini.requests.at(-1)?.body.contents?.slice(-1));
  t.match(saw, /v\d+\.\d+\.\d+-/, 'it ran on the compile cache');
  t.match(saw, /Read-only file system/, 'which it cannot write');
  t.match(saw, /<>/, 'nor do the programs that it starts');

  await approve();
  const unused = await server.logged(({ msg, pid }) => msg === 'prestarted writer ready' && pid !== early.pid);
  t.equal((await call<Run>(server, 'DELETE', '/v1/tickets/P-1?force=true')).status, 204);
  t.same(processesIn(join(world.dir, 'tickets/P-1')), [], `deleting the ticket ends ${unused.pid}`);
});

t.test('a writer that dev takes while it starts is not ended as one that waits', async (t) => {
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
  // One that is idle only from now on tells that the time is over.
  await chat(server, 'P-2', 'hello');
  await logs(server, 'agent exited', { ticket_id: 'P-2' });
  await Promise.race([dev, gemini.waitFor(({ state }) => state === 'held')]);
  gemini.release();
  t.match((await dev).run, { state: 'succeeded', attempt: 1 });
});
