import { basename } from 'node:path';
import { AppError } from '../errors/app-error.ts';
import type { ErrorCode } from '../errors/error-codes.ts';
import type { RepoRef } from './repo-url.ts';

export type GitFailure = {
  /** git's subcommand, such as `fetch`. */
  command: string;
  stdout: string;
  stderr: string;
  /** Set when the command talked to a server. */
  repo: RepoRef | undefined;
  hasToken: boolean;
  /** Whether it worked on files that an agent can write: their names are in what it printed. */
  inWorkTree: boolean;
};

/** A path in quotes, or a word that is one; a URL is none. */
const ABSOLUTE_PATH = /(?<=')\/[^']+|(?<![\w:/.~'-])\/[^\s'":]+/g;

type Rule = readonly [pattern: RegExp, code: ErrorCode, detail: (failure: GitFailure, name: string) => string];

/** What git itself (LC_ALL=C) prints on stderr when the disk is the reason. */
const DISK_RULES: readonly Rule[] = [
  [
    // Writing a file of a checkout (entry.c) or of a ref (refs/files-backend.c) fails without saying why.
    /No space left on device|Disk quota exceeded|Out of diskspace|^error: unable to write file [^:]*$|couldn't write '/im,
    'disk_full',
    ({ command }) => `The disk is full: git ${command} found no space left.`,
  ],
  [/Read-only file system/, 'storage_unavailable', ({ command }) => `git ${command} met a read-only file system.`],
];

/** What it prints for other reasons, the most telling first. */
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
    (_, name) => `${name} has moved; redirects are not followed. Use the repository's present URL.`,
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
    (failure, name) => `The git server failed to answer for ${name}: ${gitSaid(failure)}`,
  ],
  [
    /Could not resolve|Failed to connect|Couldn't connect|Connection (refused|reset|timed out)|Operation (too slow|timed out)|Network is unreachable|No route to host|Recv failure|Send failure|Empty reply|early EOF|hung up unexpectedly|unexpected disconnect|RPC failed|SSL|TLS|certificate|Proxy CONNECT|transfer closed/i,
    'network_unreachable',
    (failure, name) => `The git server of ${name} was not reached: ${gitSaid(failure)}`,
  ],
];

const WORK_TREE_RULES: readonly Rule[] = [
  [
    /^error: unable to read (?:sha1 file|blob object)/m,
    'clone_failed',
    (failure) => `The repository lacks the content of a file: ${gitSaid(failure)}`,
  ],
  [
    /^error: invalid path '/m,
    'path_unsupported',
    (failure) => `git refuses a name that the repository holds: ${gitSaid(failure)}`,
  ],
  [
    /Unable to process path|unable to (index|stat) /,
    'workspace_tampered',
    (failure) => `The workspace holds a file that git cannot read: ${gitSaid(failure)}`,
  ],
];

/**
 * Returns the AppError for a git command that failed: by what it printed; else `clone_failed`, `workspace_tampered` in a work
 * tree, or `internal` for another local one.
 */
export function gitFailure(failure: GitFailure): AppError {
  const { command, stdout, stderr, repo, inWorkTree } = failure;
  const cause = new Error(`git ${command} failed: ${stderr.trim() || '(it said nothing)'}`);
  const name = repo ? `${repo.owner}/${repo.name}` : 'the repository';
  if (/^!\t/m.test(stdout)) {
    return new AppError('push_rejected', `${name} refused the push: ${pushReason(failure)}`, { cause });
  }
  const words = withoutForeignText(stderr);
  // The name of a file could look like any rule of a remote.
  const rules = [...DISK_RULES, ...(inWorkTree ? WORK_TREE_RULES : REMOTE_RULES)];
  const rule = rules.find(([pattern]) => pattern.test(words));
  if (rule) return new AppError(rule[1], rule[2](failure, name), { cause });
  if (repo) return new AppError('clone_failed', `git ${command} failed for ${name}: ${gitSaid(failure)}`, { cause });
  const said = gitSaid(failure);
  if (inWorkTree)
    return new AppError('workspace_tampered', `git ${command} failed in the workspace: ${said}`, { cause });
  return new AppError('internal', `git ${command} failed: ${said}`, { cause });
}

/** A remote's words and a repository's name could look like any rule. */
function withoutForeignText(stderr: string): string {
  return stderr.replace(/^remote: .*$/gm, '').replace(/'https?:[^']*'/g, '');
}

/** The one line that says most: the last `fatal:` or `error:`. Of a path of the server, its name. */
function gitSaid({ stderr }: GitFailure): string {
  const lines = printableLines(stderr).filter((line) => /^(fatal|error): /.test(line));
  const line = lines.at(-1) ?? printableLines(stderr).at(-1) ?? 'it gave no reason.';
  return bounded(
    line.replace(/^\w+: /, '').replace(ABSOLUTE_PATH, (path) => basename(path)),
    300,
  );
}

/** The server's own words are the remedy here (branch protection, push protection, a hook), so they are passed on. */
function pushReason(failure: GitFailure): string {
  const flagged = /^!\t[^\t]*\t(.*)$/m.exec(failure.stdout)?.[1];
  const said = remoteLines(failure.stderr);
  return bounded([flagged ?? 'no reason given', ...said].join(' '), 1500);
}

function remoteReason({ stderr }: GitFailure): string {
  const said = remoteLines(stderr)[0];
  return said === undefined ? '' : ` (${bounded(said, 200).replace(/\.$/, '')})`;
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
