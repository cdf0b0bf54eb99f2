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

/** A workspace to try with, and what must not be seen or reached from it. */
type TestWorkspace = {
  workspace: string;
  git: NonNullable<SandboxRequest['git']>;
  outside: readonly string[];
  port: string;
  secrets: readonly string[];
};

const PROBE: Mount = { host: fileURLToPath(new URL('probe.mjs', import.meta.url)), inside: '/opt/probe.mjs' };
const EXPECTED_VARIABLES = new Set(['PATH', 'HOME', 'LANG', 'GIT_OPTIONAL_LOCKS', 'PWD']);
/** Exit code of env(1) when there is no such command. */
const NOT_FOUND = 127;
/** Where distributions keep the private keys of the machine. */
const PRIVATE_KEY_FOLDERS = ['/etc/ssl/private', '/etc/pki/tls/private'];
/** Shorter ones are found in anything by chance. */
const MIN_SECRET_LENGTH = 8;
const OR_DEVELOPMENT = 'or set SANDBOX=none for development on this machine only';

/**
 * Starts real sandboxes and tries the walls from inside: this machine's kernel, its settings and the container around
 * the server decide whether they hold, so nothing less proves it.
 */
export async function testConfinement(
  confinement: Confinement,
  confine: Confine,
  identities: Identities,
  config: Settings,
): Promise<SandboxCheck> {
  const failed = identities.failure();
  if (failed !== undefined) return { ok: false, ...failed };
  const tooLow = lowLimits().find((limit) => limit.tooLow);
  if (tooLow !== undefined) return failure(tooLow.detail, tooLow.remedy);
  const folder = join(config.DATA_DIR, 'tmp');
  await mkdir(folder, { recursive: true });
  const testFolder = await mkdtemp(join(folder, 'sandbox-check-'));
  const listener = await listenOnLoopback(createServer());
  try {
    const test = await prepare(identities, testFolder, new URL(listener.url).port, config);
    for (const writable of [false, true]) {
      const problem = await findFailure(confinement, test, writable);
      if (problem !== undefined) return problem;
    }
    if (!(await canMeasureDiskUse(confine, test.workspace))) {
      return failure(
        'The size of workspaces cannot be limited: the command du is missing, or does not work.',
        'Run apt-get install coreutils.',
      );
    }
    return { ok: true };
  } catch (error) {
    if (error instanceof AppError) return failure(error.message, error.remedy);
    return failure(`bubblewrap could not be tried: ${error instanceof Error ? error.message : error}.`);
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
    outside: [
      neighbour,
      ...tickets.slice(0, 10).map((name) => join(config.TICKETS_ROOT, name)),
      ...PRIVATE_KEY_FOLDERS,
    ],
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
    const remedy = `Run apt-get install bubblewrap, ${OR_DEVELOPMENT}.`;
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
  if (leak !== undefined) return failure(`The sandbox does not hold: ${leak}.`);
  if (writable && (await isOwnedByRoot(join(workspace, 'written')))) {
    return failure(
      'The sandbox does not hold: its programs are root of the host.',
      'Run the server as a user of its own.',
    );
  }
  return undefined;
}

/** The owner of what a program in the sandbox created is its user on the host; /proc/self/uid_map ends at the next namespace. */
async function isOwnedByRoot(path: string): Promise<boolean> {
  return (await stat(path)).uid === 0;
}

/** What probe.mjs reports. */
type ProbeReport = {
  writesWorkspace: boolean;
  writesGit: boolean;
  seesOutside: boolean;
  /** `NAME=value` of every process in sight. */
  variables: string[];
  arguments: string[];
  processes: string;
  /** Masks, in hexadecimal. */
  capabilities: string[];
  /** Paths that could be opened. */
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
  if (report.writesWorkspace && !writable) return 'a workspace can be written by one that may only read';
  if (!report.writesWorkspace && writable) return 'a workspace cannot be written';
  if (report.writesGit) return 'the .git of a workspace can be written';
  if (report.seesOutside) return 'other workspaces, folders of the server or keys of the machine can be seen';
  if (report.processes === processesOfHost) return 'the processes of the host can be seen';
  if (report.capabilities.length === 0 || report.capabilities.some((mask) => Number.parseInt(mask, 16) !== 0)) {
    return 'it has capabilities';
  }
  if (report.makesUserNamespace) return 'a further user namespace can be made';
  if (report.writesKernel.length > 0)
    return `settings of the kernel can be written (${report.writesKernel.join(', ')})`;
  if (report.readsKernel.length > 0) return `the kernel can be inspected (${report.readsKernel.join(', ')})`;
  if (!report.filtersCalls) return 'system calls are not filtered';
  if (report.setsUserId) return 'a program can be given a set-id bit';
  const network = report.interfaces.filter((name) => name !== 'lo');
  if (network.length > 0) return `the network can be reached (${network.join(', ')})`;
  if (report.reachesHost) return 'services of the host can be reached';
  if ([...report.variables, ...report.arguments].some((text) => secrets.some((secret) => text.includes(secret)))) {
    return 'a secret of the server can be seen';
  }
  const names = new Set(report.variables.map((variable) => variable.split('=', 1)[0] ?? ''));
  const surplus = [...names].filter((name) => !EXPECTED_VARIABLES.has(name));
  return surplus.length > 0 ? `variables of the server can be seen (${surplus.join(', ')})` : undefined;
}

function failure(
  detail: string,
  remedy = `Install bubblewrap 0.8 or newer and allow unprivileged user namespaces (in a container: also its seccomp and AppArmor profiles), ${OR_DEVELOPMENT}.`,
): SandboxCheck {
  return { ok: false, detail, remedy };
}
