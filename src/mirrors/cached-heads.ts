import { isDeepStrictEqual } from 'node:util';
import type { RemoteHeads } from './remote-heads.ts';

/** The heads of a remote, and the commits by ref that the mirror has since then. */
export type CachedHeads = { requestedAt: number; heads: RemoteHeads; inMirror: ReadonlyMap<string, string> };

/** Caches the newest heads of each remote, by the path of its mirror. */
export function createHeadsCache() {
  const entries = new Map<string, CachedHeads>();
  const invalidations = new Map<string, number>();

  return {
    get: (mirror: string): CachedHeads | undefined => entries.get(mirror),

    /**
     * Starts a request to a remote.
     * @returns stores the heads, unless the remote was invalidated since the start. It returns the stored object when that
     * is equal, so that callers can compare by identity
     */
    begin(mirror: string): (heads: RemoteHeads, inMirror: ReadonlyMap<string, string>) => RemoteHeads {
      const requestedAt = performance.now();
      const before = invalidations.get(mirror);
      return (heads, inMirror) => {
        const stored = entries.get(mirror)?.heads;
        const same = stored !== undefined && isDeepStrictEqual(stored, heads) ? stored : heads;
        if (invalidations.get(mirror) === before) entries.set(mirror, { requestedAt, heads: same, inMirror });
        return same;
      };
    },

    invalidate(mirror: string): void {
      entries.delete(mirror);
      invalidations.set(mirror, (invalidations.get(mirror) ?? 0) + 1);
    },
  };
}

export function ageMs({ requestedAt }: CachedHeads): number {
  return performance.now() - requestedAt;
}
