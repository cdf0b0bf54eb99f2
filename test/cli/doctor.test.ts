import { join } from 'node:path';
import t from 'tap';
import { pullwright } from '../helpers/command.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const KEY = world.env.GEMINI_API_KEY ?? '';

/** Runs `pullwright doctor` with changed settings and returns its checks. */
async function doctor(settings: Record<string, string | undefined> = {}, ...args: string[]) {
  const ended = await pullwright(t, world, ['doctor', '--json', ...args], { env: { ...world.env, ...settings } });
  const { ok, checks } = JSON.parse(ended.stdout);
  const named = new Map<string, { status: string; detail: string; remedy?: string }>(
    checks.map(({ name, ...finding }: { name: string; status: string; detail: string }) => [name, finding]),
  );
  return { ...ended, ok, of: (name: string) => named.get(name), names: [...named.keys()] };
}

t.test('`doctor` passes on a complete setup', async (t) => {
  const found = await doctor({}, '--repo', REPO);
  t.match(found, { code: 0, ok: true, stderr: '' });
  t.same(
    found.names,
    'node,git,gh,data folder,tickets folder,store,sandbox,sandbox limits,port,gemini cli,gemini key,github login,clock,repository'.split(
      ',',
    ),
  );
  t.match(found.of('github login'), { status: 'ok', detail: /pullwright-bot/ });
  t.match(found.of('repository'), { status: 'ok' });
  const limits = found.of('sandbox limits');
  t.match(limits?.detail, /^(cgroup v[12]: )?4096 MiB of memory for each /);
  t.match(limits?.status, limits?.detail.startsWith('cgroup') ? 'ok' : 'warn');
  t.notMatch(`${found.stdout}${found.stderr}`, KEY, 'the key is not printed');
});

t.test('`doctor` reports each failure with a remedy', async (t) => {
  const calls = world.gemini.requests.length;
  const found = await doctor({ GITHUB_TOKEN: 'ghp_not_one', GOOGLE_GEMINI_BASE_URL: 'http://127.0.0.1:1' });
  t.match(found, { code: 1, ok: false });
  t.match(found.of('github login'), { status: 'fail', remedy: /\S/ });
  t.match(found.of('gemini key'), { status: 'fail', detail: /cannot be reached/, remedy: /HTTPS_PROXY/ });
  t.equal(world.gemini.requests.length, calls);
  t.match((await doctor({ GEMINI_API_KEY: undefined })).of('gemini key'), {
    status: 'fail',
    remedy: /pullwright init/,
  });
  t.match(found.of('clock'), { status: 'ok' });
  t.match((await doctor({ GITHUB_TOKEN: undefined })).of('clock'), { status: 'warn', remedy: /login/ });
  const data = join(world.dir, 'nothing', 'yet');
  t.match((await doctor({ DATA_DIR: data })).of('data folder'), { status: 'ok', detail: /GiB free/ });
  const file = join(t.testdir({ file: '' }), 'file');
  t.match((await doctor({ DATA_DIR: file })).of('data folder'), { status: 'fail', detail: /not a folder/ });
  t.match((await doctor({ SANDBOX: 'none' })).of('sandbox'), { status: 'warn' });

  const server = await startServer(t, world);
  const running = await doctor({ PORT: new URL(server.url).port });
  t.match(running.of('port'), { status: 'ok', detail: /a server answers/ });
  t.match(running.of('store'), { status: 'ok', detail: /a server is using it/ });
  const wrong = await doctor({ PORT: 'none' });
  t.match(wrong, { code: 1, ok: false });
  t.match(wrong.of('settings'), { status: 'fail', detail: /PORT/ });
});
