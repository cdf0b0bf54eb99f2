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
import { DURABLE, gitEnvironment, NOT_DURABLE, type ParentEnv, questionEnvironment } from './environment.ts';
import { gitFailure } from './failure.ts';
import { type AskGit, createAskGit, gitVersion } from './git-queries.ts';
import { createProgressReader, type GitProgress } from './progress.ts';
import type { RepoRef } from './repo-url.ts';

/**
 * What a git command sees that works on files which an agent can write, or on an index or objects made of them: these paths,
 * its git directory, and nothing else of the host. It has seconds for it.
 */
export type GitView = {
  /** Folder of the server that takes what git writes beside the work tree: its `index` and its `objects`. */
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
  /** An object directory, other than the git directory's own, that new objects go to; they are not meant to last. */
  objects?: string;
  /** One more object directory to read from; it need not be there. */
  alsoObjects?: string | undefined;
  /** What the command reads from stdin. */
  input?: string | Uint8Array | Readable;
  /** The repository the command talks to; only then it may have the token. */
  repo?: RepoRef;
  /** Ends the command, and the call with its reason when that is an AppError, else with `canceled`. */
  signal?: AbortSignal | undefined;
  /** For commands that were given `--progress` or `-v`. */
  onProgress?: ((progress: GitProgress) => void) | undefined;
  /** Receives stdout as it comes, of any length; the answer's is empty then. */
  output?: Writable;
  /** Exit codes that are an answer, not a failure; 0 by default. */
  exitCodes?: readonly number[];
  /** Bytes of stdout after which the command is ended and the answer is `truncated`. Without it, 256 MiB and an error. */
  maxOutput?: number;
};

export type GitOutput = { stdout: Buffer; stderr: string; exitCode: number; truncated: boolean };

export type Git = {
  /**
   * Runs one git command in the clean environment, as a process group that ends as a whole.
   * @throws AppError by git-failure.ts; `canceled`; `timed_out` after GIT_TIMEOUT_SECONDS
   */
  run(args: readonly [string, ...string[]], options?: GitOptions): Promise<GitOutput>;
  ask: AskGit;
  /** @throws AppError `internal` when git is missing or too old */
  checkVersion(): Promise<void>;
};

/** `merge-tree --write-tree` came with this one. */
const OLDEST_GIT = [2, 38] as const;
const MAX_OUTPUT = 256 * 1024 * 1024;

/** What git may use for files that an agent can write. A checkout of 200,000 files takes about 30 s. */
const TO_READ: ProgramLimits & { seconds: number } = { cpuSeconds: 20, seconds: 30, memoryMib: 2048, fileMib: 2048 };
const TO_WRITE: ProgramLimits & { seconds: number } = { ...TO_READ, cpuSeconds: 90, seconds: 120 };

/**
 * @param deps.parentEnv the server's own environment; see git-environment.ts for what is taken from it
 * @param deps.token gives the token for a host, if there is one
 * @param deps.confine confines the commands that have a view
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
  const fleetingEnv = gitEnvironment(config, parentEnv, NOT_DURABLE);
  const plainEnv = questionEnvironment(parentEnv);
  const credentialsFor = createCredentials(token, async (url) => {
    const { stdout } = await run(['ls-remote', '--get-url', '--', url]);
    return stdout.toString().trim();
  });

  async function run(args: readonly [string, ...string[]], options: GitOptions = {}): Promise<GitOutput> {
    const { repo, view, signal, maxOutput, onProgress } = options;
    if (signal?.aborted) throw canceled(signal);
    const credentials = repo && (await abortable(credentialsFor(repo), signal));
    const limits = view && (view.writes ? TO_WRITE : TO_READ);
    const startedAt = performance.now();
    const result = await runCommand(await commandFor(args, options, { ...credentials?.env }), {
      input: options.input,
      signal,
      timeoutMs: limits ? limits.seconds * 1000 : timeoutMs,
      maxOutput: maxOutput ?? MAX_OUTPUT,
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
    const endless = limits && !truncated && limitFailure(`git ${command}`, result, limits.seconds);
    if (endless) throw endless;
    if (result.ended === 'timed out') throw timedOut(command, config.GIT_TIMEOUT_SECONDS);
    if (result.ended === 'output limit' && !truncated) {
      throw new AppError('internal', `git ${command} printed too much.`);
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
    const fleeting = view !== undefined || options.objects !== undefined;
    const variables = { ...(fleeting ? fleetingEnv : env), ...placement(options), ...more };
    if (view === undefined) return { file: 'git', args, env: variables, cwd: '/', inputs: [] };
    const { scratch, mirror, workTree, writes = false } = view;
    const trees = workTree === undefined ? [] : [workTree];
    return confine({
      argv: ['git', ...args],
      env: variables,
      user: { ownerOf: scratch },
      readable: [...(gitDir === undefined ? [] : [gitDir]), mirror, ...(writes ? [] : trees)],
      writable: [scratch, ...(writes ? trees : [])],
      limits: writes ? TO_WRITE : TO_READ,
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
    ask: createAskGit(plainEnv, timeoutMs),

    async checkVersion() {
      const version = await gitVersion(plainEnv);
      if (!version) throw notStarted(undefined);
      const [major, minor] = version;
      if (major > OLDEST_GIT[0] || (major === OLDEST_GIT[0] && minor >= OLDEST_GIT[1])) return;
      throw new AppError('internal', `git ${major}.${minor} is too old; ${OLDEST_GIT.join('.')} or later is needed.`, {
        remedy: 'Install a newer git.',
      });
    },
  };
}

/** Variables that say where the repository is. git is always told: it never looks for one, least of all in a workspace. */
function placement({ gitDir, view, objects, alsoObjects }: GitOptions): Record<string, string> {
  const newObjects = view ? join(view.scratch, 'objects') : objects;
  return {
    GIT_DIR: gitDir ?? '/nonexistent',
    ...(view && { GIT_INDEX_FILE: join(view.scratch, 'index') }),
    ...(view?.workTree === undefined ? {} : { GIT_WORK_TREE: view.workTree }),
    ...(newObjects === undefined ? {} : { GIT_OBJECT_DIRECTORY: newObjects }),
    // In quotes: a colon would end the path.
    ...(alsoObjects === undefined ? {} : { GIT_ALTERNATE_OBJECT_DIRECTORIES: JSON.stringify(alsoObjects) }),
  };
}

function outcomeOf({ ended }: CommandResult, isAnswer: boolean) {
  if (ended === 'canceled') return 'canceled';
  if (ended === 'timed out' || ended === 'cpu limit') return 'timed_out';
  return isAnswer || ended === 'output limit' ? 'ok' : 'failed';
}

function timedOut(command: string, seconds: number): AppError {
  return new AppError('timed_out', `git ${command} was stopped after ${seconds} seconds.`, {
    remedy: 'Raise GIT_TIMEOUT_SECONDS, or look for what makes git slow.',
  });
}

function notStarted(cause: unknown): AppError {
  return new AppError('internal', 'git could not be started.', { cause, remedy: 'Install git and put it on PATH.' });
}
