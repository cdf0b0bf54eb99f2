import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { abortable, canceled } from '../concurrency/abortable.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Confine, ProgramLimits } from '../sandbox/confined/confine.ts';
import { limitFailure } from '../sandbox/confined/programs.ts';
import { type CommandResult, runCommand } from '../sandbox/confined/run-command.ts';
import type { Command } from '../sandbox/types.ts';
import { measurements, secondsSince } from '../telemetry/measurements.ts';
import { type Credentials, createCredentials } from './credentials.ts';
import { DURABLE, gitEnvironment, NOT_DURABLE, type ParentEnv, queryEnvironment } from './environment.ts';
import { gitFailure } from './failure.ts';
import { createGitQueries, gitVersion, type QueryGit } from './git-queries.ts';
import { createProgressReader, type GitProgress } from './progress.ts';
import type { RepoRef } from './repo-url.ts';

/**
 * The paths that a confined git command sees, besides its git directory. Commands are confined that read or write files which an
 * agent can write, or an index or objects made of such files. They have a time limit of seconds.
 */
export type GitView = {
  /** Folder of the server with the `index` and the `objects` that git writes. */
  scratch: string;
  /** The mirror that the git directory borrows objects from. */
  mirror: string;
  workTree?: string;
  /** Whether git may write the work tree. */
  writes?: boolean;
};

export type GitOptions = {
  gitDir?: string;
  view?: GitView;
  /** An object directory for new objects instead of that of the git directory. They need not be durable. */
  objects?: string;
  /** One more object directory to read from. It need not exist. */
  alternateObjects?: string | undefined;
  /** The stdin of the command. */
  input?: string | Uint8Array | Readable;
  /** The repository that the command connects to. Only such a command gets the token. */
  repo?: RepoRef;
  /** Kills the command. The call then throws the reason when that is an AppError, or else `canceled`. */
  signal?: AbortSignal | undefined;
  /** For commands with `--progress` or `-v`. */
  onProgress?: ((progress: GitProgress) => void) | undefined;
  /** Receives the stdout of any length. That of the result is then empty. */
  output?: Writable;
  /** Exit codes that are not a failure; 0 by default. */
  exitCodes?: readonly number[];
  /** Bytes of stdout after which the command is killed and the result is `truncated`. By default, 256 MiB and an error. */
  maxOutput?: number;
};

export type GitOutput = { stdout: Buffer; stderr: string; exitCode: number; truncated: boolean };

export type Git = {
  /**
   * Runs a git command in the environment of `gitEnvironment`, in a process group of its own.
   * @throws AppError of `gitFailure`; `canceled`; `timed_out` after GIT_TIMEOUT_SECONDS
   */
  run(args: readonly [string, ...string[]], options?: GitOptions): Promise<GitOutput>;
  query: QueryGit;
  /** @throws AppError `internal` when git is missing or too old */
  checkVersion(): Promise<void>;
};

/** The first version with `merge-tree --write-tree`. */
const MIN_GIT_VERSION = [2, 38] as const;
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/** The limits of confined commands. A checkout of 200,000 files takes about 30 s. */
const READ_LIMITS: ProgramLimits & { seconds: number } = {
  cpuSeconds: 20,
  seconds: 30,
  memoryMib: 2048,
  fileMib: 2048,
};
const WRITE_LIMITS: ProgramLimits & { seconds: number } = { ...READ_LIMITS, cpuSeconds: 90, seconds: 120 };

/**
 * Creates the runner of git. Commands are started with execa, which gives control of the environment, the process group and
 * the streams. Queries are made with simple-git, which parses the output.
 * @param deps.parentEnv the environment of the server
 * @param deps.token returns the token for a host, if any
 * @param deps.confine confines the commands with a view
 */
export function createGit(deps: {
  config: Pick<Config, 'GIT_AUTHOR_NAME' | 'GIT_AUTHOR_EMAIL' | 'GIT_TIMEOUT_SECONDS'>;
  parentEnv: ParentEnv;
  token: (host: string) => Promise<string | undefined>;
  confine: Confine;
  redactor: Pick<Redactor, 'text'>;
  logger?: Pick<Logger, 'debug'>;
}): Git {
  const { config, parentEnv, token, confine, redactor, logger } = deps;
  const timeoutMs = config.GIT_TIMEOUT_SECONDS * 1000;
  const env = gitEnvironment(config, parentEnv, DURABLE);
  const scratchEnv = gitEnvironment(config, parentEnv, NOT_DURABLE);
  const plainEnv = queryEnvironment(parentEnv);
  const credentialsFor = createCredentials(token, async (url) => {
    const { stdout } = await run(['ls-remote', '--get-url', '--', url]);
    return stdout.toString().trim();
  });

  async function run(args: readonly [string, ...string[]], options: GitOptions = {}): Promise<GitOutput> {
    const { repo, view, signal, maxOutput, onProgress } = options;
    if (signal?.aborted) throw canceled(signal);
    const credentials = repo && (await abortable(credentialsFor(repo), signal));
    const limits = view && (view.writes ? WRITE_LIMITS : READ_LIMITS);
    const startedAt = performance.now();
    const result = await runCommand(await commandFor(args, options, { ...credentials?.env }), {
      input: options.input,
      signal,
      timeoutMs: limits ? limits.seconds * 1000 : timeoutMs,
      maxOutput: maxOutput ?? MAX_OUTPUT_BYTES,
      output: options.output,
      onStderr: onProgress && createProgressReader(onProgress),
    });
    const command = args[0];
    const isAnswer = (options.exitCodes ?? [0]).includes(result.exitCode ?? -1);
    measurements.emit('git', { command, outcome: outcomeOf(result, isAnswer), seconds: secondsSince(startedAt) });
    logger?.debug({ command, ended: result.ended, duration_ms: Math.round(performance.now() - startedAt) }, 'git ran');

    if (result.ended === 'canceled') throw canceled(signal);
    if (result.ended === 'not started') throw notStarted(result.cause);
    const truncated = result.ended === 'output limit' && maxOutput !== undefined;
    const exceeded = limits && !truncated && limitFailure(`git ${command}`, result, limits.seconds);
    if (exceeded) throw exceeded;
    if (result.ended === 'timed out') throw timedOut(command, config.GIT_TIMEOUT_SECONDS);
    if (result.ended === 'output limit' && !truncated) {
      throw new AppError('internal', `The output of git ${command} is too large.`);
    }
    if (!truncated && !isAnswer) throw failure(command, result, options, credentials);
    return { stdout: result.stdout, stderr: result.stderr, exitCode: result.exitCode ?? 0, truncated };
  }

  async function commandFor(
    args: readonly string[],
    options: GitOptions,
    more: Readonly<Record<string, string>>,
  ): Promise<Command> {
    const { gitDir, view } = options;
    const isScratch = view !== undefined || options.objects !== undefined;
    const variables = { ...(isScratch ? scratchEnv : env), ...repositoryVariables(options), ...more };
    if (view === undefined) return { file: 'git', args, env: variables, cwd: '/', inputs: [] };
    const { scratch, mirror, workTree, writes = false } = view;
    const trees = workTree === undefined ? [] : [workTree];
    return confine({
      argv: ['git', ...args],
      env: variables,
      user: { ownerOf: scratch },
      readable: [...(gitDir === undefined ? [] : [gitDir]), mirror, ...(writes ? [] : trees)],
      writable: [scratch, ...(writes ? trees : [])],
      limits: writes ? WRITE_LIMITS : READ_LIMITS,
    });
  }

  function failure(command: string, result: CommandResult, { repo, view }: GitOptions, credentials?: Credentials) {
    return gitFailure({
      command,
      stdout: redactor.text(result.stdout.subarray(0, 64 * 1024).toString()),
      stderr: redactor.text(result.stderr),
      repo,
      hasToken: credentials?.hasToken ?? false,
      inWorkTree: view?.workTree !== undefined,
    });
  }

  return {
    run,
    query: createGitQueries(plainEnv, timeoutMs),

    async checkVersion() {
      const version = await gitVersion(plainEnv);
      if (!version) throw notStarted(undefined);
      const [major, minor] = version;
      if (major > MIN_GIT_VERSION[0] || (major === MIN_GIT_VERSION[0] && minor >= MIN_GIT_VERSION[1])) return;
      throw new AppError(
        'internal',
        `git ${major}.${minor} is too old; ${MIN_GIT_VERSION.join('.')} or later is needed.`,
        {
          remedy: 'Install a newer git.',
        },
      );
    },
  };
}

/** Variables with the paths of the repository. They are always set, so that git never searches for a repository. */
function repositoryVariables({ gitDir, view, objects, alternateObjects }: GitOptions): Record<string, string> {
  const newObjects = view ? join(view.scratch, 'objects') : objects;
  return {
    GIT_DIR: gitDir ?? '/nonexistent',
    ...(view && { GIT_INDEX_FILE: join(view.scratch, 'index') }),
    ...(view?.workTree === undefined ? {} : { GIT_WORK_TREE: view.workTree }),
    ...(newObjects === undefined ? {} : { GIT_OBJECT_DIRECTORY: newObjects }),
    // Quoted, since a colon separates paths.
    ...(alternateObjects === undefined ? {} : { GIT_ALTERNATE_OBJECT_DIRECTORIES: JSON.stringify(alternateObjects) }),
  };
}

function outcomeOf({ ended }: CommandResult, isAnswer: boolean) {
  if (ended === 'canceled') return 'canceled';
  if (ended === 'timed out' || ended === 'cpu limit') return 'timed_out';
  return isAnswer || ended === 'output limit' ? 'ok' : 'failed';
}

function timedOut(command: string, seconds: number): AppError {
  return new AppError('timed_out', `git ${command} was stopped after ${seconds} seconds.`, {
    remedy: 'Raise GIT_TIMEOUT_SECONDS, or find out why git is slow.',
  });
}

function notStarted(cause: unknown): AppError {
  return new AppError('internal', 'git could not be started.', { cause, remedy: 'Install git and put it on PATH.' });
}
