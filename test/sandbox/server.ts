// Starts one process tree in a sandbox, as a server that the test kills. Arguments: DATA_DIR, TICKETS_ROOT, workspace.
import { createSandbox } from '../../src/sandbox/sandbox.ts';
import { LIMITS } from './fixtures.ts';

const [DATA_DIR = '', TICKETS_ROOT = '', workspace = ''] = process.argv.slice(2);
const sandbox = createSandbox({ config: { SANDBOX: 'auto', ...LIMITS, DATA_DIR, TICKETS_ROOT } });
const child = await sandbox.spawn({
  argv: ['sh', '-c', 'trap "" HUP TERM; setsid nohup sleep 1000 & setsid sleep 1000 & echo started; sleep 1000'],
  workspace,
  writable: false,
});
child.stdout.pipe(process.stdout);
