import { mkdir, mkdtemp, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../../config/load-config.ts';
import { AppError } from '../../errors/app-error.ts';
import type { Confine } from '../confined/confine.ts';
import { canMeasureDiskUse } from '../disk-quota.ts';
import type { Identities } from '../identity.ts';
import { runProcess } from '../processes/run-process.ts';
import { startProcess } from '../processes/start-process.ts';
import { lowLimits } from '../resource-limits.ts';
import { listenOnLoopback } from '../socket-forward.ts';
import type { Confinement, Mount, SandboxRequest } from '../types.ts';

export type SandboxCheck = { ok: true } | { ok: false; detail: string; remedy: string };

type Settings = Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT'> &
  Partial<Pick<Config, 'GEMINI_API_KEY' | 'GITHUB_TOKEN' | 'API_KEY'>>;

/** A workspace, and the paths, port and secrets that must be out of its reach. */
type TestWorkspace = {
  workspace: string;
  git: NonNullable<SandboxRequest['git']>;
  outside: readonly string[];
  port: string;
  secrets: readonly string[];
};

const PROBE: Mount = { host: fileURLToPath(new URL('probe.mjs', import.meta.url)), inside: '/opt/probe.mjs' };
const EXPECTED_VARIABLES = new Set(['PATH', 'HOME', 'LANG', 'GIT_OPTIONAL_LOCKS', 'PWD']);
/** Exit code of env(1) when a command does not exist. */
const NOT_FOUND = 127;
/** Folders in which distributions keep private keys. */
const KEY_FOLDERS = ['/etc/ssl/private', '/etc/pki/tls/private'];
/** Shorter secrets match by chance. */
const MIN_SECRET_LENGTH = 8;
const OR_SANDBOX_NONE = 'or set SANDBOX=none for development on this machine only';

/**
 * Starts real sandboxes and tests the isolation from inside, because it depends on the kernel, its settings and the
 * container of the server.
 */
export async function testConfinement(
  confinement: Confinement,
  confine: Confine,
  identities: Identities,
  config: Settings,
): Promise<SandboxCheck> {
  const noUids = identities.failure();
  if (noUids !== undefined) return { ok: false, ...noUids };
  const tooLow = lowLimits().find((limit) => limit.tooLow);
  if (tooLow !== undefined) return failure(tooLow.detail, tooLow.remedy);
  const folder = join(config.DATA_DIR, 'tmp');
  await mkdir(folder, { recursive: true });
  const testFolder = await mkdtemp(join(folder, 'sandbox-check-'));
  const listener = await listenOnLoopback(createServer());
  try {
    const test = await prepare(identities, testFolder, new URL(listener.url).port, config);
    for (const writable of [false, true]) {
      const failed = await findFailure(confinement, test, writable);
      if (failed !== undefined) return failed;
    }
    if (!(await canMeasureDiskUse(confine, test.workspace))) {
      return failure(
        'The size of workspaces cannot be limited: the command du is missing or fails.',
        'Run apt-get install coreutils.',
      );
    }
    return { ok: true };
  } catch (error) {
    if (error instanceof AppError) return failure(error.message, error.remedy);
    return failure(`The sandbox self-test could not run: ${error instanceof Error ? error.message : error}.`);
  } finally {
    await listener.close();
    await rm(testFolder, { recursive: true, force: true });
  }
}

async function prepare(identities: Identities, folder: string, port: string, config: Settings): Promise<TestWorkspace> {
  const workspace = join(folder, 'workspace');
  const neighbour = join(folder, 'neighbour');
  const git = { dir: join(folder, 'git'), mirror: join(folder, 'mirror') };
  for (const path of [workspace, neighbour, git.dir, git.mirror]) await mkdir(path);
  await writeFile(join(workspace, '.git'), `gitdir: ${git.dir}\n`);
  await identities.assign(workspace);
  await identities.share(workspace, [join(workspace, '.git')]);
  const tickets = await readdir(config.TICKETS_ROOT).catch(() => []);
  return {
    workspace,
    git,
    outside: [neighbour, ...tickets.slice(0, 10).map((name) => join(config.TICKETS_ROOT, name)), ...KEY_FOLDERS],
    port,
    secrets: [config.GEMINI_API_KEY, config.GITHUB_TOKEN, config.API_KEY]
      .filter((secret) => secret !== undefined)
      .filter((secret) => secret.length >= MIN_SECRET_LENGTH),
  };
}

async function findFailure(confinement: Confinement, test: TestWorkspace, writable: boolean) {
  const { workspace, port, outside } = test;
  const layout = confinement.layout({ workspace, home: '' });
  const command = await confinement.command({
    argv: [layout.node, confinement.path(PROBE), layout.workspace, port, ...outside],
    workspace,
    writable,
    git: test.git,
    mounts: [PROBE],
  });
  const { code, output } = await runProcess(await startProcess(command), {
    timeoutMs: 20_000,
    maxOutputBytes: 262_144,
  });
  if (code === NOT_FOUND) {
    const remedy = `Run apt-get install bubblewrap, ${OR_SANDBOX_NONE}.`;
    return failure('bubblewrap (the command bwrap) is not installed.', remedy);
  }
  if (code !== 0) {
    const reason = output.trim().slice(0, 300) || `exit code ${code}`;
    return failure(`bubblewrap does not work on this machine: ${reason}.`);
  }
  const report: ProbeReport = JSON.parse(output);
  if (report.fileSizeLimit === 'unlimited') {
    return failure('The sandbox has no limits: the command prlimit is missing.', 'Run apt-get install util-linux.');
  }
  const leak = findLeak(report, writable, test.secrets, await readlink('/proc/self/ns/pid'));
  if (leak !== undefined) return failure(`The sandbox is not secure: ${leak}.`);
  if (writable && (await isOwnedByRoot(join(workspace, 'written')))) {
    return failure(
      'The sandbox is not secure: its programs are root of the host.',
      'Run the server as an unprivileged user of its own.',
    );
  }
  return undefined;
}

/** The owner of a file that a sandbox created is its host user. /proc/self/uid_map shows only the parent namespace. */
async function isOwnedByRoot(path: string): Promise<boolean> {
  return (await stat(path)).uid === 0;
}

/** The output of probe.mjs. */
type ProbeReport = {
  writesWorkspace: boolean;
  writesGit: boolean;
  seesOutside: boolean;
  /** `NAME=value` of all visible processes. */
  variables: string[];
  arguments: string[];
  processes: string;
  /** Hexadecimal masks. */
  capabilities: string[];
  /** Paths that it could open. */
  writesKernel: string[];
  readsKernel: string[];
  filtersCalls: boolean;
  setsUserId: boolean;
  makesUserNamespace: boolean;
  interfaces: string[];
  reachesHost: boolean;
  fileSizeLimit?: string;
};

function findLeak(report: ProbeReport, writable: boolean, secrets: readonly string[], processesOfHost: string) {
  if (report.writesWorkspace && !writable) return 'a read-only sandbox can write to its workspace';
  if (!report.writesWorkspace && writable) return 'a writable sandbox cannot write to its workspace';
  if (report.writesGit) return 'it can write to the .git of its workspace';
  if (report.seesOutside) return 'it can see other workspaces, folders of the server or keys of the machine';
  if (report.processes === processesOfHost) return 'it can see the processes of the host';
  if (report.capabilities.length === 0 || report.capabilities.some((mask) => Number.parseInt(mask, 16) !== 0)) {
    return 'it has capabilities';
  }
  if (report.makesUserNamespace) return 'it can create a further user namespace';
  if (report.writesKernel.length > 0) return `it can write kernel settings (${report.writesKernel.join(', ')})`;
  if (report.readsKernel.length > 0) return `it can inspect the kernel (${report.readsKernel.join(', ')})`;
  if (!report.filtersCalls) return 'system calls are not filtered';
  if (report.setsUserId) return 'it can set a set-id bit';
  const network = report.interfaces.filter((name) => name !== 'lo');
  if (network.length > 0) return `it can reach the network (${network.join(', ')})`;
  if (report.reachesHost) return 'it can reach services of the host';
  if ([...report.variables, ...report.arguments].some((text) => secrets.some((secret) => text.includes(secret)))) {
    return 'it can see a secret of the server';
  }
  const names = new Set(report.variables.map((variable) => variable.split('=', 1)[0] ?? ''));
  const surplus = [...names].filter((name) => !EXPECTED_VARIABLES.has(name));
  return surplus.length > 0 ? `it can see variables of the server (${surplus.join(', ')})` : undefined;
}

function failure(
  detail: string,
  remedy = `Install bubblewrap 0.8 or newer and allow unprivileged user namespaces (in a container: also its seccomp and AppArmor profiles), ${OR_SANDBOX_NONE}.`,
): SandboxCheck {
  return { ok: false, detail, remedy };
}
