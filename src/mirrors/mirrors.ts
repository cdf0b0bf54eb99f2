import { setTimeout as pause } from 'node:timers/promises';
import { type CallOptions, createSingleFlight } from '../concurrency/single-flight.ts';
import type { Config } from '../config/load-config.ts';
import { exists } from '../files/entries.ts';
import type { Layout } from '../files/layout.ts';
import type { Git } from '../git/git.ts';
import type { GitProgress } from '../git/progress.ts';
import type { RepoRef } from '../git/repo-url.ts';
import type { Trash } from '../trees/trash.ts';
import { ageMs, type CachedHeads, createHeadsCache } from './cached-heads.ts';
import { fetchBranches, fetchedRef } from './fetch.ts';
import type { MirrorLock } from './mirror-lock.ts';
import { listRemote, type RemoteHeads } from './remote-heads.ts';
import { isShallow } from './shallow.ts';
import { addRefs, deleteRefs } from './ticket-refs.ts';

/** The branches that a ticket needs. Without a base branch, the default branch of the remote. */
export type Want = { repo: RepoRef; baseBranch: string | undefined; ticketBranch: string };

export type RefreshOptions = CallOptions<GitProgress> & {
  /** Requests the heads of the remote even when the cached ones are newer than FETCH_TTL_SECONDS. */
  fresh?: boolean | undefined;
  /** Accepts cached heads of the last five minutes, and refreshes them in the background. */
  staleOk?: boolean | undefined;
};

export type Mirrors = ReturnType<typeof createMirrors>;

/** Maximum age of cached heads for callers that accept stale ones. */
const STALE_OK_MS = 300_000;

/** A prefetch starts a process, which delays the event loop, so the caller's own answer goes first. */
const PREFETCH_DELAY_MS = 500;

/** Creates the mirrors: one bare repository per remote, with the branches that tickets need. */
export function createMirrors(deps: {
  config: Pick<Config, 'FETCH_TTL_SECONDS'>;
  git: Git;
  layout: Layout;
  trash: Trash;
  lock: MirrorLock;
}) {
  const { config, git, layout, lock } = deps;
  const ttlMs = config.FETCH_TTL_SECONDS * 1000;
  const cache = createHeadsCache();
  const closing = new AbortController();
  /** By mirror. */
  const prefetches = new Map<string, Promise<void>>();

  const fetch = createSingleFlight<Want, RemoteHeads, GitProgress>(async (wants, options) => {
    const [first] = wants;
    if (!first) throw new Error('a flight without callers');
    const { repo } = first;
    const mirror = layout.mirror(repo.url);
    const store = cache.begin(mirror);
    const heads = await listRemote(git, repo, options.signal);
    const names = wants.flatMap((want) => [want.baseBranch ?? heads.defaultBranch ?? '', want.ticketBranch]);
    const branches = [...new Set(names)].filter((branch) => heads.branches.has(branch));
    if (branches.length === 0) return heads;
    // The commits of an existing ticket branch can only be distinguished from those of the base with its history.
    const mayBeShallow = wants.every(({ ticketBranch }) => !heads.branches.has(ticketBranch));
    const inMirror = await lock.shared(mirror, () =>
      fetchBranches(deps, { mirror, repo, heads, branches, mayBeShallow, options }),
    );
    // A branch may have moved after it was listed; the mirror's commit counts.
    const present = branches.flatMap((branch) => {
      const sha = inMirror.get(fetchedRef(branch));
      return sha === undefined ? [] : [[branch, sha] as const];
    });
    return store({ ...heads, branches: new Map([...heads.branches, ...present]) }, inMirror);
  });

  /** Returns heads of at most some age, when the mirror has the commits that the caller wants. */
  async function cachedHeads(want: Want, maxAgeMs: number): Promise<CachedHeads | undefined> {
    const mirror = layout.mirror(want.repo.url);
    const cached = cache.get(mirror);
    if (cached === undefined || ageMs(cached) >= maxAgeMs || !hasWanted(cached, want)) return undefined;
    return (await lock.shared(mirror, () => exists(mirror))) ? cached : undefined;
  }

  /** Fetches in the background. The next call that fetches reports an error, if any. */
  function prefetch(want: Want): void {
    const mirror = layout.mirror(want.repo.url);
    const { signal } = closing;
    if (prefetches.has(mirror) || signal.aborted) return;
    const run = async () => {
      await pause(PREFETCH_DELAY_MS, undefined, { signal, ref: false });
      await fetch(mirror, want, { signal });
    };
    const fetched = run()
      .catch(() => {})
      .finally(() => prefetches.delete(mirror));
    prefetches.set(mirror, fetched);
  }

  return {
    /**
     * Fetches the branches that a ticket needs, and creates the mirror the first time. Concurrent calls for one repository
     * share a fetch.
     * @returns the heads of the remote; the mirror has the commits of the wanted branches
     * @throws AppError as `git.run`
     */
    async refresh(want: Want, options: RefreshOptions): Promise<RemoteHeads> {
      const maxAgeMs = options.staleOk && ttlMs > 0 ? Math.max(ttlMs, STALE_OK_MS) : ttlMs;
      const cached = options.fresh ? undefined : await cachedHeads(want, maxAgeMs);
      if (cached !== undefined) {
        if (ageMs(cached) >= ttlMs) prefetch(want);
        return cached.heads;
      }
      const mirror = layout.mirror(want.repo.url);
      const heads = await fetch(mirror, want, options);
      if (await isShallow(mirror)) prefetch(want);
      return heads;
    },

    /** Deletes the cached heads of a remote. */
    invalidate: ({ url }: RepoRef) => cache.invalidate(layout.mirror(url)),

    /** Keeps commits that a ticket borrows, even when the remote deletes its branches or a person runs `git gc`. */
    protect: (mirror: string, ticketId: string, commits: readonly string[]) => addRefs(git, mirror, ticketId, commits),

    /** Releases the protection of a ticket's commits. */
    release: (mirror: string, ticketId: string) => deleteRefs(git, mirror, (id) => id === ticketId),

    /** Releases the protection for all tickets that are not in the set. */
    releaseAllBut: (mirror: string, ticketIds: ReadonlySet<string>) =>
      deleteRefs(git, mirror, (id) => !ticketIds.has(id)),

    /** Aborts fetches in the background. */
    async close(): Promise<void> {
      closing.abort();
      await Promise.all(prefetches.values());
    },
  };
}

/** A missing base branch counts as not cached: it may exist on the remote by now. */
function hasWanted({ heads, inMirror }: CachedHeads, { baseBranch, ticketBranch }: Want): boolean {
  const base = baseBranch ?? heads.defaultBranch ?? '';
  const isFetched = (branch: string) => heads.branches.get(branch) === inMirror.get(fetchedRef(branch));
  return heads.branches.has(base) && isFetched(base) && isFetched(ticketBranch);
}
