import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { agentText, call, run } from '../helpers/client.ts';
import { LAUNCHER } from '../helpers/command.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';

const world = await makeWorld(t);
const MIB = 1024 * 1024;
const within = (...limits: string[]) => ['prlimit', ...limits.map((limit) => `--${limit}`)];

/** Returns the sandbox check of `pullwright doctor` under the given limits. */
async function doctor(...limits: string[]) {
  const [program = '', ...args] = within(...limits);
  const settings = Object.entries({ PATH: process.env.PATH, ...world.env }).map((pair) => pair.join('='));
  const command = [...args, 'env', '-i', ...settings, process.execPath, LAUNCHER, 'doctor', '--json'];
  const { stdout } = await promisify(execFile)(program, command, { cwd: world.dir }).catch((error) => error);
  return JSON.parse(stdout).checks.find(({ name }: { name: string }) => name === 'sandbox');
}

t.test('agents work under hard limits lower than their own', async (t) => {
  const limits = ['nofile=1024:1024', 'nproc=512:512', `fsize=${512 * MIB}`, `data=${3072 * MIB}`, 'core=0'];
  const server = await startServerProcess(t, world, {}, [], within(...limits));
  world.gemini.on('hello', [{ text: 'Good day.' }]);
  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'L-1', repo_url: REPO })).status, 201);
  const ended = await run(server, 'L-1', { action: 'chat', message: 'hello' });
  t.match(ended.run, { state: 'succeeded' });
  t.equal(agentText(ended.events), 'Good day.');
  t.match(await call(server, 'GET', '/v1/agents'), { body: { items: [{ healthy: true }] } });
  await server.stop();
});

t.test('the run and `pullwright doctor` name a hard limit that is too low for agents', async (t) => {
  const server = await startServerProcess(t, world, {}, [], within('nofile=200:200'));
  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'L-2', repo_url: REPO })).status, 201);
  const { run: ended } = await run(server, 'L-2', { action: 'chat', message: 'hello' });
  const error = {
    code: 'agent_unavailable',
    detail: /hard limit .* 200 open files/,
    remedy: /nofile .*4096 or more.*LimitNOFILE/,
  };
  t.match(ended, { state: 'failed', error });
  await server.stop();

  t.match(await doctor('nofile=200:200'), { status: 'fail', detail: error.detail, remedy: error.remedy });
  t.match(await doctor('nofile=1024:1024'), { status: 'warn', detail: / 1,024 open files/, remedy: error.remedy });
  t.match(await doctor(`fsize=${32 * MIB}`), { status: 'fail', detail: / 32 MiB of a file/, remedy: /LimitFSIZE/ });
  t.match(await doctor('nofile=4096:4096'), { status: 'ok' });
});
