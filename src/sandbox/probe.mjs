// Runs inside a sandbox and says what it can see and do there, as JSON; see self-test.ts.
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';

const [workspace, outside] = process.argv.slice(2);

function canWrite(path) {
  try {
    writeFileSync(path, '');
    return true;
  } catch {
    return false;
  }
}

const names = (environ) => environ.split('\0').flatMap((entry) => (entry === '' ? [] : [entry.split('=', 1)[0]]));

process.stdout.write(
  JSON.stringify({
    writesWorkspace: canWrite(`${workspace}/written`),
    writesGit: canWrite(`${workspace}/.git`),
    seesOutside: existsSync(outside),
    variables: names(readFileSync('/proc/self/environ', 'utf8')),
    variablesOfSandbox: names(readFileSync('/proc/1/environ', 'utf8')),
    processes: readlinkSync('/proc/self/ns/pid'),
  }),
);
