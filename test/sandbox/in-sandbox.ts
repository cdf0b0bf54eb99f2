import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createBubblewrap } from '../../src/sandbox/bubblewrap/bubblewrap.ts';
import { newSessionKeyring } from '../../src/sandbox/bubblewrap/session-keyring.ts';
import { createIdentities } from '../../src/sandbox/identity.ts';
import { runProcess } from '../../src/sandbox/processes/run-process.ts';
import { startProcess } from '../../src/sandbox/processes/start-process.ts';
import { assignUid, LIMITS } from './fixtures.ts';

/** The input of this program, which runs commands in sandboxes as its own user, in one workspace. See users.ts. */
export type Order = {
  commands: readonly (readonly [string, ...string[]])[];
  /** Programs to write into the workspace, in base64. */
  programs?: Readonly<Record<string, string>>;
  /** Options of bubblewrap to remove, each ending with a NUL. */
  without?: readonly string[];
  /** Removes the session keyring of the sandbox. */
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
  await assignUid(folders.TICKETS_ROOT, workspace);
  const confinement = createBubblewrap(folders, createIdentities({ ...LIMITS, ...folders }));
  const results = [];
  for (const argv of order.commands) {
    const command = await confinement.command({ argv, workspace, writable: true });
    const [options, ...others] = command.inputs;
    const original = new TextDecoder().decode(options);
    const reduced = (order.without ?? []).reduce((text, option) => text.replace(option, ''), original);
    const args = order.sharedKeyring
      ? command.args.toSpliced(command.args.indexOf(OWN_KEYRING[0] ?? ''), OWN_KEYRING.length)
      : command.args;
    const child = await startProcess({ ...command, args, inputs: [new TextEncoder().encode(reduced), ...others] });
    results.push(await runProcess(child, { timeoutMs: 120_000, maxOutputBytes: 262_144 }));
  }
  process.stdout.write(JSON.stringify(results));
} finally {
  await rm(root, { recursive: true, force: true });
}
