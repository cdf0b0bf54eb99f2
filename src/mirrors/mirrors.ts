import { createHash, randomUUID } from 'node:crypto';
import { appendFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { createSharedFlights, type JoinOptions } from '../concurrency/single-flight.ts';
import type { Config } from '../config/load-config.ts';
import { exists, namesIn } from '../files/entries.ts';
import type { Layout } from '../files/layout.ts';
import type { Git } from '../git/git.ts';
import type { GitProgress } from '../git/progress.ts';
import { type RepoRef, remoteUrl } from '../git/repo-url.ts';
import type { Trash } from '../trees/trash.ts';
import type { MirrorCare } from './mirror-lock.ts';
import { listRemote, type RemoteHeads } from './remote-heads.ts';
import { isShallow } from './shallow.ts';
import { removeLeftovers } from './stale-git-files.ts';

/** Branches that a ticket needs, as far as the remote has them. Without a base branch, the remote's default branch. */
export type Want = { repo: RepoRef; baseBranch: string | undefined; ticketBranch: string };

export type Mirrors = {
  /**
   * Brings the mirror of a repository up to date with the remote, and makes it the first time. Calls for one
   * repository share their network traffic.
   * @param options.fresh asks the remote even when it was asked within FETCH_TTL_SECONDS
   * @param options.quick does not wait for the remote when it was asked within the last five minutes: it is asked for the
   * next one who comes
   * @returns what the remote has; the commits of the wanted branches are in the mirror now
   */
  refresh(want: Want, options: RefreshOptions): Promise<RemoteHeads>;
  /** Has the remote asked next time: it is no longer what it said it is. */
  forget(repo: RepoRef): void;
  /** Keeps commits that a ticket borrows, whatever the remote does to its branches and whoever runs `git gc`. */
  protect(mirror: string, ticketId: string, commits: readonly string[]): Promise<void>;
  /** Ends that for a ticket. */
  release(mirror: string, ticketId: string): Promise<void>;
  /** Ends it for all tickets that are not in the set. */
  releaseAllBut(mirror: string, ticketIds: ReadonlySet<string>): Promise<void>;
  /** Ends what is asked for nobody in particular. */
  close(): Promise<void>;
};

export type RefreshOptions = JoinOptions<GitProgress> & { fresh?: boolean | undefined; quick?: boolean | undefined };

/** What a remote said is good enough for this long to those in a hurry. */
const QUICK_MS = 300_000;

/** How long after a question its remote is asked ahead. */
const AHEAD_MS = 500;

/** What a remote said when it was asked, and the branches that the mirror has since. */
type Answer = { askedAt: number; heads: RemoteHeads; inMirror: ReadonlyMap<string, string> };
type Fetched = { branch: string; sha: string };
type FetchOptions = { signal: AbortSignal; onProgress: (progress: GitProgress) => void };

/** How long the history of a new mirror is waited for. After that, tickets begin with its newest commits. */
const PATIENCE_MS = 3000;

/** One bare repository per remote, with the branches that tickets need and nothing else. */
export function createMirrors(deps: {
  config: Pick<Config, 'FETCH_TTL_SECONDS'>;
  git: Git;
  layout: Layout;
  trash: Trash;
  care: MirrorCare;
}): Mirrors {
  const { config, git, layout, trash, care } = deps;
  const ttlMs = config.FETCH_TTL_SECONDS * 1000;
  const answers = new Map<string, Answer>();
  const closing = new AbortController();
  /** Remotes that are being asked ahead, by their mirrors, as all here. */
  const askingAhead = new Map<string, Promise<void>>();
  /** How often each was forgotten: an answer to a question from before is old when it comes. */
  const forgotten = new Map<string, number>();

  const share = createSharedFlights<Want, RemoteHeads, GitProgress>(async (wants, options) => {
    const [first] = wants;
    if (!first) throw new Error('a flight without passengers');
    const mirror = layout.mirror(first.repo.url);
    const askedAt = performance.now();
    const forgottenBefore = forgotten.get(mirror);
    const heads = await listRemote(git, first.repo, options.signal);
    const names = new Set(wants.flatMap((want) => [want.baseBranch ?? heads.defaultBranch ?? '', want.ticketBranch]));
    const branches = [...names].flatMap((branch) => {
      const sha = heads.branches.get(branch);
      return sha === undefined ? [] : [{ branch, sha }];
    });
    if (branches.length === 0) return heads;
    // What a branch has of its own cannot be told without its history.
    const mayBeShallow = wants.every(({ ticketBranch }) => !heads.branches.has(ticketBranch));
    const inMirror = await care.use(mirror, async () => {
      if (await exists(mirror)) return updateMirror(mirror, first.repo, branches, heads, options);
      await makeMirror(mirror, first.repo, branches, mayBeShallow, options);
      return fetchedRefs(mirror);
    });

    // A branch may have moved between the list and the fetch; what counts is what the mirror has.
    const present = new Map(heads.branches);
    for (const { branch, sha } of branches) present.set(branch, inMirror.get(fetchedRef(branch)) ?? sha);
    const before = answers.get(mirror)?.heads;
    const now = { ...heads, branches: present };
    // The same answer is the same object, which tells at once that nothing is new.
    const told = before !== undefined && isDeepStrictEqual(before, now) ? before : now;
    if (forgotten.get(mirror) === forgottenBefore) answers.set(mirror, { askedAt, heads: told, inMirror });
    return told;
  });

  /** What the remote said within some time, when that answers the question and the mirror is there. */
  async function recall({ repo, baseBranch, ticketBranch }: Want, withinMs: number): Promise<Answer | undefined> {
    const mirror = layout.mirror(repo.url);
    const answer = answers.get(mirror);
    if (answer === undefined || age(answer) >= withinMs) return undefined;
    const { heads, inMirror } = answer;
    const has = (branch: string) => heads.branches.get(branch) === inMirror.get(fetchedRef(branch));
    const base = baseBranch ?? heads.defaultBranch ?? '';
    // A base branch that it did not have may be there now.
    if (!heads.branches.has(base) || !has(base) || !has(ticketBranch)) return undefined;
    return (await care.use(mirror, () => exists(mirror))) ? answer : undefined;
  }

  /**
   * For who comes next, and after who is here: to start a process holds up all others for some hundredths of a second. What
   * fails then is told when it is asked for.
   */
  function askAhead(want: Want): void {
    const mirror = layout.mirror(want.repo.url);
    if (askingAhead.has(mirror) || closing.signal.aborted) return;
    const { signal } = closing;
    const asked = pause(AHEAD_MS, undefined, { signal, ref: false })
      .then(() => share(mirror, want, { signal }))
      .then(
        () => {},
        () => {},
      )
      .finally(() => askingAhead.delete(mirror));
    askingAhead.set(mirror, asked);
  }

  const fetchedRefs = (mirror: string) => git.ask(mirror).refs('refs/fetched/');

  async function makeMirror(
    mirror: string,
    repo: RepoRef,
    branches: readonly Fetched[],
    mayBeShallow: boolean,
    options: FetchOptions,
  ) {
    const staged = join(layout.data.staging, randomUUID());
    try {
      await git.run(['init', '--quiet', '--bare', '--template='], { gitDir: staged });
      // Said in the configuration too, for the person who runs git here by hand.
      await appendFile(join(staged, 'config'), '[gc]\n\tauto = 0\n');
      if (mayBeShallow) await fetchSome(staged, repo, branches, options);
      else await fetchBranches(staged, repo, branches, options);
      await rename(staged, mirror);
    } catch (error) {
      await trash.add(staged, layout.data.trash);
      throw error;
    }
  }

  /** All of the history, when it comes soon; else the newest commits. */
  async function fetchSome(gitDir: string, repo: RepoRef, branches: readonly Fetched[], options: FetchOptions) {
    const late = AbortSignal.timeout(PATIENCE_MS);
    const signal = AbortSignal.any([options.signal, late]);
    try {
      await fetchBranches(gitDir, repo, branches, { ...options, signal });
    } catch (error) {
      if (!late.aborted || options.signal.aborted) throw error;
      await removeLeftovers(gitDir, '.');
      await fetchBranches(gitDir, repo, branches, options, '--depth=1');
    }
  }

  /** Nothing is merged before the history of its mirror is whole: whoever wants news comes by here. */
  async function updateMirror(
    mirror: string,
    repo: RepoRef,
    branches: readonly Fetched[],
    heads: RemoteHeads,
    options: FetchOptions,
  ) {
    const present = await fetchedRefs(mirror);
    const known = [...heads.branches].map(([branch, sha]) => ({ branch, sha }));
    const lacking = (await isShallow(mirror)) ? known.filter(({ branch }) => present.has(fetchedRef(branch))) : [];
    const changed = branches.filter(({ branch, sha }) => present.get(fetchedRef(branch)) !== sha);
    if (changed.length + lacking.length === 0) return present;
    try {
      if (lacking.length > 0) await fetchBranches(mirror, repo, lacking, options, '--unshallow');
      if (changed.length > 0) await fetchBranches(mirror, repo, changed, options);
      return await fetchedRefs(mirror);
    } catch (error) {
      await removeLeftovers(mirror, 'refs/fetched');
      throw error;
    }
  }

  async function fetchBranches(
    gitDir: string,
    repo: RepoRef,
    branches: readonly Fetched[],
    options: FetchOptions,
    ...depth: string[]
  ) {
    const refspecs = branches.map(({ branch }) => `+refs/heads/${branch}:${fetchedRef(branch)}`);
    const flags = ['--progress', '--no-tags', '--no-write-fetch-head', '--no-auto-gc', '--no-recurse-submodules'];
    await git.run(['fetch', ...flags, ...depth, '--', remoteUrl(repo), ...refspecs], { gitDir, repo, ...options });
  }

  async function letGo(mirror: string, ofTicket: (ticketId: string) => boolean): Promise<void> {
    const refs = await git.ask(mirror).refs('refs/tickets/');
    const lines = [...refs.keys()].filter((ref) => ofTicket(ref.split('/')[2] ?? '')).map((ref) => `delete ${ref}\n`);
    if (lines.length > 0) await git.run(['update-ref', '--stdin'], { gitDir: mirror, input: lines.join('') });
    // What is left now is no ref: a git that failed, on a full disk for one, leaves its empty folder.
    const folder = join(mirror, 'refs', 'tickets');
    for (const name of (await namesIn(folder)).filter(ofTicket)) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }

  return {
    async refresh(want, options) {
      const withinMs = options.quick && ttlMs > 0 ? Math.max(ttlMs, QUICK_MS) : ttlMs;
      const known = options.fresh ? undefined : await recall(want, withinMs);
      if (known === undefined) {
        const mirror = layout.mirror(want.repo.url);
        const heads = await share(mirror, want, options);
        // The rest of a history that was not waited for.
        if (await isShallow(mirror)) askAhead(want);
        return heads;
      }
      if (age(known) >= ttlMs) askAhead(want);
      return known.heads;
    },

    forget({ url }) {
      const mirror = layout.mirror(url);
      answers.delete(mirror);
      forgotten.set(mirror, (forgotten.get(mirror) ?? 0) + 1);
    },

    async protect(mirror, ticketId, commits) {
      const lines = [...new Set(commits)].map((sha) => `update refs/tickets/${ticketId}/${sha} ${sha}\n`);
      await git.run(['update-ref', '--stdin'], { gitDir: mirror, input: lines.join('') });
    },

    release: (mirror, ticketId) => letGo(mirror, (id) => id === ticketId),
    releaseAllBut: (mirror, ticketIds) => letGo(mirror, (id) => !ticketIds.has(id)),

    async close() {
      closing.abort();
      await Promise.all(askingAhead.values());
    },
  };
}

function age({ askedAt }: Answer): number {
  return performance.now() - askedAt;
}

/**
 * Where the mirror keeps a branch. Not by its name: `a` may give way to `a/b` on the remote, or differ from `A` by case
 * only, and both clash as files.
 */
function fetchedRef(branch: string): string {
  return `refs/fetched/${createHash('sha256').update(branch).digest('hex').slice(0, 32)}`;
}
