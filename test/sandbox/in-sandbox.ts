import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createBubblewrap } from '../../src/sandbox/bubblewrap/bubblewrap.ts';
import { newSessionKeyring } from '../../src/sandbox/bubblewrap/session-keyring.ts';
import { createIdentities } from '../../src/sandbox/identity.ts';
import { runProcess } from '../../src/sandbox/processes/run-process.ts';
import { startProcess } from '../../src/sandbox/processes/start-process.ts';
import { giveAway, LIMITS } from './fixtures.ts';

/** Runs commands in sandboxes as the user of this process, in one workspace; see users.ts. */
export type Order = {
  commands: readonly (readonly [string, ...string[]])[];
  /** Programs in the workspace, in base64. */
  programs?: Readonly<Record<string, string>>;
  /** Defences to take away: options of bubblewrap, each ending with a NUL, and the keyring of its own. */
  without?: readonly string[];
  sharedKeyring?: boolean;
};

const OWN_KEYRING = newSessionKeyring();

const order: Order = JSON.parse(process.argv[2] ?? '');
const root = await mkdtemp(join(tmpdir(), 'pw-sandbox-'));
try {
  const workspace = join(root, 'tickets/T-1');
  await mkdir(workspace, { recursive: true });
  for (const [name, content] of Object.entries(order.programs ?? {})) {
    await writeFile(join(workspace, name), Buffer.from(content, 'base64'), { mode: 0o755 });
  }
  const folders = { DATA_DIR: join(root, 'data'), TICKETS_ROOT: join(root, 'tickets') };
  await giveAway(folders.TICKETS_ROOT, workspace);
  const confinement = createBubblewrap(folders, createIdentities({ ...LIMITS, ...folders }));
  const results = [];
  for (const argv of order.commands) {
    const command = await confinement.command({ argv, workspace, writable: true });
    const [options, ...others] = command.inputs;
    const whole = new TextDecoder().decode(options);
    const left = (order.without ?? []).reduce((text, option) => text.replace(option, ''), whole);
    const args = order.sharedKeyring
      ? command.args.toSpliced(command.args.indexOf(OWN_KEYRING[0] ?? ''), OWN_KEYRING.length)
      : command.args;
    const child = await startProcess({ ...command, args, inputs: [new TextEncoder().encode(left), ...others] });
    results.push(await runProcess(child, { timeoutMs: 120_000, maxOutputBytes: 262_144 }));
  }
  process.stdout.write(JSON.stringify(results));
} finally {
  await rm(root, { recursive: true, force: true });
}
