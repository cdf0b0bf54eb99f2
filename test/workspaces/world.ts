import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../src/config/logger.ts';
import { createGit } from '../../src/git/git.ts';
import { parseRepoUrl, type RepoRef } from '../../src/git/repo-url.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { createSandbox } from '../../src/sandbox/sandbox.ts';
import { createWorkspaces } from '../../src/workspaces/workspaces.ts';
import { startGitHub } from '../../standins/github.ts';

export const TOKEN = 'ghp_0123456789abcdefTESTtoken';
/** Another secret of the server, with characters that encodings change. */
export const API_KEY = 'key+with/"odd" \\characters & ümlaut';

/** The uids from which a server that runs as root assigns one to each workspace. */
export const SANDBOX_UIDS = { first: 1_900_000_000, last: 1_900_065_535 };

type Owner = { teardown(task: () => unknown): unknown };
type Settings = {
  PROTECTED_PATHS?: readonly string[];
  FETCH_TTL_SECONDS?: number;
  SPARE_CHECKOUTS?: number;
  MAX_WORKSPACE_MB?: number;
  DATA_DIR?: string;
  TICKETS_ROOT?: string;
};
type WorldOptions = Settings & { parent?: string; logger?: Logger };
export type World = Awaited<ReturnType<typeof makeWorld>>;

/** Starts a GitHub, and opens workspaces in a temporary folder. */
export async function makeWorld(t: Owner, { parent = tmpdir(), logger, ...settings }: WorldOptions = {}) {
  const dir = await mkdtemp(join(parent, 'ws-'));
  const github = await startGitHub({ root: join(dir, 'github') });
  github.addToken(TOKEN, { login: 'pullwright-bot', push: true });
  const parentEnv = { PATH: process.env.PATH, ...github.environment() };
  const { git, sandbox, workspaces, config } = setUp(dir, parentEnv, TOKEN, logger, settings);
  await workspaces.recover();
  t.teardown(async () => {
    await workspaces.close();
    await github.close();
    await rm(dir, { recursive: true, force: true });
  });
  return {
    dir,
    github,
    parentEnv,
    config,
    git,
    sandbox,
    workspaces,
    path: (...parts: string[]) => join(dir, ...parts),
  };
}

/** Creates the modules of a server in a folder. */
export function setUp(
  dir: string,
  parentEnv: Record<string, string | undefined>,
  token: string | undefined,
  logger?: Logger,
  settings: Settings = {},
) {
  const config = {
    DATA_DIR: join(dir, 'data'),
    TICKETS_ROOT: join(dir, 'tickets'),
    ALLOWED_REPO_HOSTS: ['github.com', 'nowhere.invalid'],
    PROTECTED_PATHS: ['.github/workflows/', '.github/actions/'],
    GIT_AUTHOR_NAME: 'Pull Wright',
    GIT_AUTHOR_EMAIL: 'pull@wright.example',
    GIT_TIMEOUT_SECONDS: 60,
    FETCH_TTL_SECONDS: 0,
    SPARE_CHECKOUTS: 0,
    MIN_FREE_DISK_MB: 0,
    SANDBOX: 'bubblewrap' as const,
    SANDBOX_UIDS,
    EGRESS_ALLOW: [],
    MAX_WORKSPACE_MB: 10_240,
    SANDBOX_MEMORY_MB: 4096,
    ...settings,
  };
  const redactor = createRedactor([token, API_KEY]);
  const deps = { config, redactor, ...(logger ? { logger } : {}) };
  const sandbox = createSandbox({ config, parentEnv });
  const git = createGit({ ...deps, parentEnv, token: async () => token, confine: sandbox.confine });
  return { config, git, sandbox, workspaces: createWorkspaces({ ...deps, git, sandbox }) };
}

export function repo(fullName: string): RepoRef {
  return parseRepoUrl(`https://github.com/${fullName}`, ['github.com']);
}

/** Runs git with no configuration but the repository's, and returns its output. */
export function plainGit(args: readonly string[], options: { cwd?: string; input?: string } = {}): string {
  return execFileSync('git', args, {
    ...options,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
    maxBuffer: 1e9,
    env: {
      PATH: process.env.PATH,
      HOME: '/nonexistent',
      GIT_CONFIG_NOSYSTEM: '1',
      // If the server runs as root, each workspace has a separate owner.
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      GIT_AUTHOR_NAME: 'Someone',
      GIT_AUTHOR_EMAIL: 'someone@example.org',
      GIT_COMMITTER_NAME: 'Someone',
      GIT_COMMITTER_EMAIL: 'someone@example.org',
    },
  }).trimEnd();
}

export type Entry = { path: string; mode?: '100644' | '100755' | '120000' | '160000'; content: string };

/** Commits entries of any kind to a bare repository; for a submodule, `content` is the commit it names. */
export function commitEntries(directory: string, entries: readonly Entry[], branch = 'main'): string {
  const changes = entries.map(({ path, mode = '100644', content }) => {
    const name = JSON.stringify(path);
    return mode === '160000'
      ? `M 160000 ${content} ${name}\n`
      : `M ${mode} inline ${name}\ndata ${Buffer.byteLength(content)}\n${content}\n`;
  });
  const head = 'committer Someone <someone@example.org> 1767600000 +0000\ndata 5\nfiles\n';
  const from =
    plainGit(['--git-dir', directory, 'for-each-ref', `refs/heads/${branch}`]) === ''
      ? ''
      : `from refs/heads/${branch}^0\n`;
  plainGit(['--git-dir', directory, 'fast-import', '--quiet', '--date-format=raw'], {
    input: `commit refs/heads/${branch}\n${head}${from}${changes.join('')}\n`,
  });
  return plainGit(['--git-dir', directory, 'rev-parse', branch]);
}

/** Lists the files that contain a text. */
export function findText(needle: string, ...folders: string[]): string {
  return spawnSync('grep', ['-rlF', '--', needle, ...folders], { encoding: 'utf8' }).stdout;
}
