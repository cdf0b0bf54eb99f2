import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createIdentities } from '../../src/sandbox/identity.ts';
import { createSandbox, type Sandbox, type SandboxDependencies } from '../../src/sandbox/sandbox.ts';

export type Owner = { teardown(task: () => unknown): unknown };

const SANDBOX_UIDS = { first: 1_900_000_000, last: 1_900_065_535 };
export const LIMITS = { EGRESS_ALLOW: [], MAX_WORKSPACE_MB: 1024, SANDBOX_MEMORY_MB: 4096, SANDBOX_UIDS };

/** Creates the folders of a server with one workspace, at a path that no sandbox shows. */
export async function makeFolders(t: Owner) {
  const root = await mkdtemp(join(tmpdir(), 'pw-sandbox-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const folders = { DATA_DIR: join(root, 'data'), TICKETS_ROOT: join(root, 'tickets') };
  const workspace = join(folders.TICKETS_ROOT, 'T-1');
  await mkdir(workspace, { recursive: true });
  await mkdir(folders.DATA_DIR);
  await writeFile(join(workspace, 'README.md'), '# Widgets\n');
  await assignUid(folders.TICKETS_ROOT, workspace);
  return { root, ...folders, workspace };
}

/** Assigns a separate uid to a workspace, as a server that is root does. */
export async function assignUid(TICKETS_ROOT: string, workspace: string): Promise<void> {
  const identities = createIdentities({ SANDBOX_UIDS, TICKETS_ROOT });
  await identities.assign(workspace);
  const names = await readdir(workspace, { recursive: true });
  await identities.share(
    workspace,
    names.map((name) => join(workspace, name)),
  );
}

/** Creates a sandbox and a function that runs a shell script in it. */
export function makeSandbox(
  folders: { DATA_DIR: string; TICKETS_ROOT: string; workspace: string },
  SANDBOX: 'auto' | 'none',
  settings: Partial<Omit<SandboxDependencies['config'], 'SANDBOX_UIDS'>> = {},
) {
  const config = { SANDBOX, ...LIMITS, ...folders, ...settings };
  const sandbox: Sandbox = createSandbox({ config, parentEnv: process.env });
  const sh = (script: string, options: Partial<Parameters<Sandbox['run']>[0]> = {}) =>
    sandbox.run({
      argv: ['sh', '-c', script],
      workspace: folders.workspace,
      writable: true,
      timeoutMs: 60_000,
      maxOutputBytes: 65_536,
      ...options,
    });
  return { sandbox, sh };
}
