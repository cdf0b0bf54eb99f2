import { type SimpleGit, simpleGit } from 'simple-git';

/** Read-only queries of a git directory of the server. The server made the names of the refs and commits. */
export type GitQueries = {
  /** Returns the commit of a ref, or undefined without such a ref. */
  commit(ref: string): Promise<string | undefined>;
  /** Returns the tree of a commit. */
  tree(commit: string): Promise<string>;
  /** Returns the object at `COMMIT:PATH`, or undefined. */
  blob(name: string): Promise<string | undefined>;
  /** Returns commits by the full name of their ref, below a prefix such as `refs/heads/`. */
  refs(prefix: string): Promise<Map<string, string>>;
  /** Returns the best common ancestor, or undefined for unrelated histories. */
  mergeBase(one: string, other: string): Promise<string | undefined>;
  /** Counts the commits of `head` that are in none of `without`. Merges do not count. */
  count(head: string, without: readonly string[]): Promise<number>;
  /** Lists the commits of `head` that are not in `without`, oldest first. Omits merges. */
  commits(head: string, without: string): Promise<CommitLine[]>;
};

/** A commit of a list. `runId` is its trailer `Run-Id`: the run that made the commit. */
export type CommitLine = { sha: string; subject: string; runId?: string };

export type QueryGit = (gitDir: string) => GitQueries;

/** @param env `queryEnvironment`, without settings or credentials */
export function createGitQueries(env: Readonly<Record<string, string>>, timeoutMs: number): QueryGit {
  return (gitDir) => {
    const git = createSimpleGit({ ...env, GIT_DIR: gitDir }, timeoutMs);
    return {
      // With --quiet, the output is empty without such a ref. Any other failure is an error.
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
        // Not git.log(): a subject with its separator would forge commits.
        const args = ['log', '-z', '--reverse', '--no-merges', `--format=${COMMIT_LINE}`, `${without}..${head}`];
        const records = (await git.raw(args)).split('\0');
        return records.filter((record) => record !== '').map(readCommitLine);
      },
    };
  };
}

/** The subject is last, since it is foreign text. */
const COMMIT_LINE = '%H%n%(trailers:key=Run-Id,valueonly,unfold,separator=%x20)%n%s';

function readCommitLine(record: string): CommitLine {
  const [sha = '', runId = '', ...subject] = record.split('\n');
  return { sha, subject: subject.join('\n'), ...(runId === '' ? {} : { runId }) };
}

/** Returns the version of git as `[major, minor]`, or undefined when git is not installed. */
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
