import t from 'tap';
import { call, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

/** Starts two processes that hold 600 MiB each until both are killed. */
const HOG =
  'for i in 1 2; do node -e "globalThis.held = Buffer.alloc(600 << 20, 1); setInterval(() => {}, 1000)" & done; wait';

const world = await makeWorld(t);
const { gemini } = world;
const server = await startServer(t, world, {
  SANDBOX_MEMORY_MB: '1000',
  VERIFY_COMMAND: JSON.stringify(['sh', '-c', `! grep -q hungry NOTES.md || { ${HOG}; }`]),
  VERIFY_ATTEMPTS: '1',
});
const limits = await server.logged(({ msg }) => /a cgroup limits|is limited per process/.test(msg ?? ''));
const skip = limits.cgroup === undefined ? String(limits.detail) : false;
const write = (content: string) => ({ calls: [{ name: 'write_file', args: { file_path: 'NOTES.md', content } }] });

t.test('a run fails with out_of_memory when a process of its agent exceeds the limit', { skip }, async (t) => {
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'M-1', repo_url: REPO });
  gemini.on(/Action: make_plan.*M-1/s, [{ text: '# Notes\n\n## Goal\n\nNotes.' }]);
  gemini.on(/Action: dev.*M-1/s, [write('kept\n'), { calls: [{ name: 'run_shell_command', args: { command: HOG } }] }]);
  const { run: ended } = await run(server, 'M-1', { action: 'dev' });
  t.match(ended, {
    state: 'failed',
    attempt: 1,
    error: { code: 'out_of_memory', detail: /ran out of memory.* 1000 MiB/, remedy: /Raise SANDBOX_MEMORY_MB/ },
  });
  t.match((await call(server, 'GET', '/v1/tickets/M-1/diff')).body.files, [{ path: 'NOTES.md' }], 'the work is kept');

  gemini.on('go on', [{ text: 'Here.' }]);
  const next = await run(server, 'M-1', { action: 'chat', message: 'go on' });
  t.match(next.run, { state: 'succeeded', result: { text: 'Here.' } }, 'the next run starts a new agent');
});

t.test('`dev` fails with verify_failed when its check command runs out of memory', { skip }, async (t) => {
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'M-2', repo_url: REPO });
  gemini.on(/Action: make_plan.*M-2/s, [{ text: '# Notes\n\n## Goal\n\nNotes.' }]);
  gemini.on(/Action: dev.*M-2/s, [write('hungry\n'), { text: 'Wrote them.' }]);
  const { run: ended, events } = await run(server, 'M-2', { action: 'dev' });
  t.match(ended, { state: 'failed', error: { code: 'verify_failed', detail: /ran out of memory 1 times/ } });
  t.match(
    events.find(({ type }) => type === 'log'),
    { data: { text: /SANDBOX_MEMORY_MB/ } },
  );
});
