import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';

/** A short seeded set of faults; `npm run test:faults -- --runs 200 --seed N` injects all of them. */
const SHORT_SET = ['--runs', '4', '--only', 'kill-server,kill-agent,frozen-and-second,github-api,backup,clients'];
const RUN_FAULTS = fileURLToPath(new URL('run-faults.ts', import.meta.url));

// Each fault takes a few seconds on an idle machine.
t.setTimeout(900_000);

t.test('a server loses, repeats and blocks nothing when faults are injected', async (t) => {
  // tap passes a loader to child processes by the environment; `env -i` removes it.
  const child = spawn('env', ['-i', `PATH=${process.env.PATH}`, process.execPath, RUN_FAULTS, ...SHORT_SET], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill());
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  t.comment(output);
  t.equal(code, 0, `no invariant is violated: ${output}\n${errors}`);
  t.notMatch(output, /VIOLATION/);
  t.match(output, /no violation/);
});
