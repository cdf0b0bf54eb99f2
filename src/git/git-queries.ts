import { type SimpleGit, simpleGit } from 'simple-git';

/** Read-only questions about one of the server's own git directories. Refs and commits are names the server made. */
export type GitQueries = {
  /** The commit a ref stands for, or undefined when there is no such ref. */
  commit(ref: string): Promise<string | undefined>;
  /** The tree of a commit. */
  tree(commit: string): Promise<string>;
  /** The object at `COMMIT:PATH`, or undefined when there is none. */
  blob(name: string): Promise<string | undefined>;
  /** Refs below a prefix such as `refs/heads/`, by full name. */
  refs(prefix: string): Promise<Map<string, string>>;
  /** The best common ancestor, or undefined when the histories have nothing in common. */
  mergeBase(one: string, other: string): Promise<string | undefined>;
  /** How many commits, merges left out, `head` has that none of `without` has. */
  count(head: string, without: readonly string[]): Promise<number>;
  /** Such commits, oldest first. */
  commits(head: string, without: string): Promise<CommitLine[]>;
};

/** A commit as a list shows it; `runId` where its trailer `Run-Id` names the run that made it. */
export type CommitLine = { sha: string; subject: string; runId?: string };

export type QueryGit = (gitDir: string) => GitQueries;

/** @param env the plain environment of git-environment.ts, without settings or credentials */
export function createGitQueries(env: Readonly<Record<string, string>>, timeoutMs: number): QueryGit {
  return (gitDir) => {
    const git = createSimpleGit({ ...env, GIT_DIR: gitDir }, timeoutMs);
    return {
      // --quiet makes "no such ref" an empty answer; anything else wrong is still an error.
      commit: async (ref) => (await git.revparse(['--verify', '--quiet', `${ref}^{commit}`])) || undefined,
      tree: (commit) => git.revparse(['--verify', `${commit}^{tree}`]),
      blob: async (name) => (await git.revparse(['--verify', '--quiet', name])) || undefined,
      async refs(prefix) {
        const lines = await git.raw(['for-each-ref', '--format=%(objectname) %(refname)', prefix]);
        return new Map(
          lines.split('\n').flatMap((line) => (line ? [[line.slice(41), line.slice(0, 40)] as const] : [])),
        );
      },
      mergeBase: async (one, other) => (await git.raw(['merge-base', one, other])).trim() || undefined,
      count: async (head, without) =>
        Number(await git.raw(['rev-list', '--count', '--no-merges', head, '--not', ...without])),
      async commits(head, without) {
        // Not git.log(): a subject that holds its separator would forge commits.
        const args = ['log', '-z', '--reverse', '--no-merges', `--format=${COMMIT_LINE}`, `${without}..${head}`];
        const records = (await git.raw(args)).split('\0');
        return records.filter((record) => record !== '').map(readCommitLine);
      },
    };
  };
}

/** Three lines, the subject last: it is the one that anybody may have written. */
const COMMIT_LINE = '%H%n%(trailers:key=Run-Id,valueonly,unfold,separator=%x20)%n%s';

function readCommitLine(record: string): CommitLine {
  const [sha = '', runId = '', ...subject] = record.split('\n');
  return { sha, subject: subject.join('\n'), ...(runId === '' ? {} : { runId }) };
}

/** The version of git as `[major, minor]`, or undefined when it is not installed. */
export async function gitVersion(env: Readonly<Record<string, string>>): Promise<[number, number] | undefined> {
  const { installed, major, minor } = await createSimpleGit(env, 10_000).version();
  return installed ? [major, minor] : undefined;
}

function createSimpleGit(env: Readonly<Record<string, string>>, timeoutMs: number): SimpleGit {
  return simpleGit({
    baseDir: '/',
    allowEnvironment: Object.keys(env).filter((name) => name.startsWith('GIT_')),
    timeout: { block: timeoutMs },
  }).env({ ...env });
}
