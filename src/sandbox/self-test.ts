import { mkdir, mkdtemp, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runProcess } from './run-process.ts';
import { startProcess } from './start-process.ts';
import type { Confinement, Place } from './types.ts';

export type SandboxCheck = { ok: true } | { ok: false; detail: string; remedy: string };

const PROBE: Place = { host: fileURLToPath(new URL('probe.mjs', import.meta.url)), inside: '/opt/probe.mjs' };
const EXPECTED_VARIABLES = new Set(['PATH', 'HOME', 'LANG', 'GIT_OPTIONAL_LOCKS', 'PWD']);
/** Exit code of env(1) when there is no such command. */
const NOT_FOUND = 127;
const DEVELOPMENT = 'or set SANDBOX=none for development on this machine only';

/**
 * Starts real sandboxes and looks from inside whether they hold: this machine's kernel, its settings and the
 * container around the server decide, so nothing less proves it.
 * @param folder a folder of the server, to try in
 */
export async function testConfinement(confinement: Confinement, folder: string): Promise<SandboxCheck> {
  await mkdir(folder, { recursive: true });
  const trial = await mkdtemp(join(folder, 'sandbox-check-'));
  try {
    const workspace = join(trial, 'workspace');
    await mkdir(workspace);
    await writeFile(join(workspace, '.git'), 'gitdir: nowhere\n');
    await writeFile(join(trial, 'secret'), '');
    for (const writable of [false, true]) {
      const problem = await findProblem(confinement, workspace, writable, join(trial, 'secret'));
      if (problem !== undefined) return problem;
    }
    return { ok: true };
  } catch (error) {
    return failure(`bubblewrap could not be tried: ${error instanceof Error ? error.message : error}.`);
  } finally {
    await rm(trial, { recursive: true, force: true });
  }
}

async function findProblem(confinement: Confinement, workspace: string, writable: boolean, outside: string) {
  const layout = confinement.layout({ workspace, home: '' });
  const command = await confinement.command({
    argv: [layout.node, confinement.path(PROBE), layout.workspace, outside],
    workspace,
    writable,
    mounts: [PROBE],
  });
  const { code, output } = await runProcess(await startProcess(command), { timeoutMs: 20_000, maxOutputBytes: 65_536 });
  if (code === NOT_FOUND) {
    const remedy = `Run apt-get install bubblewrap, ${DEVELOPMENT}.`;
    return failure('bubblewrap (the command bwrap) is not installed.', remedy);
  }
  if (code !== 0) {
    const said = output.trim().slice(0, 300) || `exit code ${code}`;
    return failure(`bubblewrap does not work on this machine: ${said}.`);
  }
  const leak = leakIn(JSON.parse(output), writable, await readlink('/proc/self/ns/pid'));
  return leak === undefined ? undefined : failure(`The sandbox does not hold: ${leak}.`);
}

/** What probe.mjs reports. */
type Seen = {
  writesWorkspace: boolean;
  writesGit: boolean;
  seesOutside: boolean;
  variables: string[];
  variablesOfSandbox: string[];
  processes: string;
};

function leakIn(seen: Seen, writable: boolean, processesOfHost: string): string | undefined {
  if (seen.writesWorkspace && !writable) return 'a workspace can be written by one that may only read';
  if (!seen.writesWorkspace && writable) return 'a workspace cannot be written';
  if (seen.writesGit) return 'the .git of a workspace can be written';
  if (seen.seesOutside) return 'other folders of the server can be seen';
  if (seen.processes === processesOfHost) return 'the processes of the host can be seen';
  const surplus = [...seen.variables, ...seen.variablesOfSandbox].filter((name) => !EXPECTED_VARIABLES.has(name));
  return surplus.length > 0 ? `variables of the server can be seen (${surplus.join(', ')})` : undefined;
}

function failure(
  detail: string,
  remedy = `Install bubblewrap 0.8 or newer and allow unprivileged user namespaces (in a container: also its seccomp and AppArmor profiles), ${DEVELOPMENT}.`,
): SandboxCheck {
  return { ok: false, detail, remedy };
}
