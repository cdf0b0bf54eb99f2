import { basename } from 'node:path';
import { AppError } from '../errors/app-error.ts';
import type { ErrorCode } from '../errors/error-codes.ts';
import type { RepoRef } from './repo-url.ts';

export type GitFailure = {
  /** git's subcommand, such as `fetch`. */
  command: string;
  stdout: string;
  stderr: string;
  /** Set when the command connected to a remote. */
  repo: RepoRef | undefined;
  hasToken: boolean;
  /** Whether the command read or wrote a work tree. Its output then contains file names that an agent chose. */
  inWorkTree: boolean;
};

/** A quoted path, or a path that is a word; not a URL. */
const ABSOLUTE_PATH = /(?<=')\/[^']+|(?<![\w:/.~'-])\/[^\s'":]+/g;

type Rule = readonly [pattern: RegExp, code: ErrorCode, detail: (failure: GitFailure, name: string) => string];

/** The stderr of git (LC_ALL=C) for a full or read-only disk. */
const DISK_RULES: readonly Rule[] = [
  [
    // The last two are without a reason: a file of a checkout (entry.c) or of a ref (refs/files-backend.c).
    /No space left on device|Disk quota exceeded|Out of diskspace|^error: unable to write file [^:]*$|couldn't write '/im,
    'disk_full',
    ({ command }) => `The disk is full: git ${command} found no space left.`,
  ],
  [/Read-only file system/, 'storage_unavailable', ({ command }) => `git ${command} found a read-only file system.`],
];

/** The stderr for other failures, the most specific first. */
const REMOTE_RULES: readonly Rule[] = [
  [
    /couldn't find remote ref|Remote branch .* not found/,
    'base_branch_not_found',
    (_, name) => `${name} has no such branch.`,
  ],
  [
    /Authentication failed|error: 401|could not read (Username|Password)/,
    'github_auth',
    ({ hasToken }, name) =>
      hasToken
        ? `The git server refused the credentials for ${name}.`
        : `The git server asks for credentials for ${name}, which is private or does not exist, and no token is set.`,
  ],
  [
    /error: 403/,
    'github_forbidden',
    (failure, name) => `The git server refuses access to ${name}${remoteReason(failure)}.`,
  ],
  [
    /error: 30\d/,
    'repo_not_found',
    (_, name) => `${name} has moved; redirects are not followed. Use the current URL of the repository.`,
  ],
  [
    /repository .*not found|error: 404|not valid: is this a git repository/,
    'repo_not_found',
    (_, name) => `${name} was not found, or the token may not read it.`,
  ],
  [/error: 429/, 'github_rate_limited', (_, name) => `The git server limits the rate of requests for ${name}.`],
  [
    /error: 5\d\d/,
    'github_failed',
    (failure, name) => `The git server failed to answer for ${name}: ${gitReason(failure)}`,
  ],
  [
    /Could not resolve|Failed to connect|Couldn't connect|Connection (refused|reset|timed out)|Operation (too slow|timed out)|Network is unreachable|No route to host|Recv failure|Send failure|Empty reply|early EOF|hung up unexpectedly|unexpected disconnect|RPC failed|SSL|TLS|certificate|Proxy CONNECT|transfer closed/i,
    'network_unreachable',
    (failure, name) => `The git server of ${name} was not reached: ${gitReason(failure)}`,
  ],
];

const WORK_TREE_RULES: readonly Rule[] = [
  [
    /^error: unable to read (?:sha1 file|blob object)/m,
    'clone_failed',
    (failure) => `The repository lacks the content of a file: ${gitReason(failure)}`,
  ],
  [
    /^error: invalid path '/m,
    'path_unsupported',
    (failure) => `git refuses a name in the repository: ${gitReason(failure)}`,
  ],
  [
    /Unable to process path|unable to (index|stat) /,
    'workspace_tampered',
    (failure) => `The workspace has a file that git cannot read: ${gitReason(failure)}`,
  ],
];

/**
 * Returns the AppError of a failed git command, by its output. Other failures are `clone_failed` with a remote,
 * `workspace_tampered` in a work tree, and otherwise `internal`.
 */
export function gitFailure(failure: GitFailure): AppError {
  const { command, stdout, stderr, repo, inWorkTree } = failure;
  const cause = new Error(`git ${command} failed: ${stderr.trim() || '(no output)'}`);
  const name = repo ? `${repo.owner}/${repo.name}` : 'the repository';
  if (/^!\t/m.test(stdout)) {
    return new AppError('push_rejected', `${name} refused the push: ${pushReason(failure)}`, { cause });
  }
  const text = withoutForeignText(stderr);
  // A file name could match a rule of remotes.
  const rules = [...DISK_RULES, ...(inWorkTree ? WORK_TREE_RULES : REMOTE_RULES)];
  const rule = rules.find(([pattern]) => pattern.test(text));
  if (rule) return new AppError(rule[1], rule[2](failure, name), { cause });
  if (repo) return new AppError('clone_failed', `git ${command} failed for ${name}: ${gitReason(failure)}`, { cause });
  const reason = gitReason(failure);
  if (inWorkTree)
    return new AppError('workspace_tampered', `git ${command} failed in the workspace: ${reason}`, { cause });
  return new AppError('internal', `git ${command} failed: ${reason}`, { cause });
}

/** The messages of a remote and the name of a repository could match any rule. */
function withoutForeignText(stderr: string): string {
  return stderr.replace(/^remote: .*$/gm, '').replace(/'https?:[^']*'/g, '');
}

/** Returns the last `fatal:` or `error:` line. Paths of the server are reduced to their names. */
function gitReason({ stderr }: GitFailure): string {
  const lines = printableLines(stderr).filter((line) => /^(fatal|error): /.test(line));
  const line = lines.at(-1) ?? printableLines(stderr).at(-1) ?? 'no reason given.';
  return bounded(
    line.replace(/^\w+: /, '').replace(ABSOLUTE_PATH, (path) => basename(path)),
    300,
  );
}

/** Includes the messages of the remote: they name the remedy (branch protection, push protection, a hook). */
function pushReason(failure: GitFailure): string {
  const flagged = /^!\t[^\t]*\t(.*)$/m.exec(failure.stdout)?.[1];
  return bounded([flagged ?? 'no reason given', ...remoteLines(failure.stderr)].join(' '), 1500);
}

function remoteReason({ stderr }: GitFailure): string {
  const [line] = remoteLines(stderr);
  return line === undefined ? '' : ` (${bounded(line, 200).replace(/\.$/, '')})`;
}

function remoteLines(stderr: string): string[] {
  return printableLines(stderr)
    .filter((line) => line.startsWith('remote: ') && !/\d+% \(/.test(line))
    .map((line) => line.slice('remote: '.length).trim())
    .filter((line) => line !== '');
}

function printableLines(text: string): string[] {
  return text
    .split(/[\r\n]+/)
    .map((line) => line.replace(/\p{C}+/gu, ' ').trim())
    .filter((line) => line !== '');
}

function bounded(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}...` : text;
}
