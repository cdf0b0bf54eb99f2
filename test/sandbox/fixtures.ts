import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSandbox, type Sandbox, type SandboxDependencies } from '../../src/sandbox/sandbox.ts';

export type Owner = { teardown(work: () => unknown): unknown };

export const LIMITS = { EGRESS_ALLOW: [], MAX_WORKSPACE_MB: 1024, SANDBOX_MEMORY_MB: 4096 };

/** Folders of a server with one workspace, outside of what a sandbox shows. */
export async function makeFolders(t: Owner) {
  const root = await mkdtemp(join(tmpdir(), 'pw-sandbox-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const folders = { DATA_DIR: join(root, 'data'), TICKETS_ROOT: join(root, 'tickets') };
  const workspace = join(folders.TICKETS_ROOT, 'T-1');
  await mkdir(workspace, { recursive: true });
  await mkdir(folders.DATA_DIR);
  await writeFile(join(workspace, 'README.md'), '# Widgets\n');
  return { root, ...folders, workspace };
}

/** A sandbox, and a way to run a shell script in it. */
export function makeSandbox(
  folders: { DATA_DIR: string; TICKETS_ROOT: string; workspace: string },
  SANDBOX: 'auto' | 'none',
  settings: Partial<SandboxDependencies['config']> = {},
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
