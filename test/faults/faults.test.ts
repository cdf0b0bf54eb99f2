import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';

/** A short seeded set of faults; `npm run test:faults -- --runs 200 --seed N` is the long one, with all of them. */
const FEW = ['--runs', '4', '--only', 'kill-server,kill-agent,frozen-and-second,github-api,backup,clients'];
const RUN_FAULTS = fileURLToPath(new URL('run-faults.ts', import.meta.url));

// Each of the faults takes a few seconds on a machine with nothing else to do.
t.setTimeout(900_000);

t.test('nothing is lost, stuck or done twice, whatever fails', async (t) => {
  // tap hands every child a loader of its own through the environment; `env -i` keeps it out.
  const child = spawn('env', ['-i', `PATH=${process.env.PATH}`, process.execPath, RUN_FAULTS, ...FEW], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill());
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  t.comment(output);
  t.equal(code, 0, `no invariant is broken: ${output}\n${errors}`);
  t.notMatch(output, /VIOLATION/);
  t.match(output, /no violation/);
});
