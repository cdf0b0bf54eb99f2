import { type Signal, signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Problem } from '../../schemas/problem.ts';
import { asProblem } from './problem.ts';

/** A read of the API, and the cache key of its result. */
export type Query<T> = {
  key: string;
  /** @param previous the result of the last read */
  load(previous: T | undefined): Promise<T>;
};

export type Page<T> = { items: T[]; next_cursor: string | null };

/** The beginning of a list. New items make it longer than requested; components show the requested number. */
export type List<T> = Page<T> & { requested: number };

export type ListQuery<T> = Query<List<T>> & { loadMore(list: List<T>): Promise<List<T>> };

export type Resource<T> = { data: T | undefined; problem: Problem | undefined; loading: boolean; reload(): void };

type State = { data: unknown; problem: Problem | undefined };

type Entry = {
  state: Signal<State>;
  loading: boolean;
  /** A reload was requested during a load, and follows it. */
  reload: boolean;
  /** Patches that arrived during a load. They apply to its answer too, which may be older. */
  patches: ((data: unknown) => unknown)[];
  read(): Promise<unknown>;
  /** The number of components that use it. */
  users: number;
};

const entries = new Map<string, Entry>();

const NOT_READ = { data: undefined, problem: undefined };

/** The maximum of the API. */
const MAX_PAGE_SIZE = 100;

const FIRST_PAGE = '';

/** Creates the query of a paginated list. A reload reads as many items as were requested before. */
export function listOf<T>(
  key: string,
  size: number,
  page: (query: { limit: number; cursor?: string }) => Promise<Page<T>>,
): ListQuery<T> {
  async function readPages(requested: number, from: Page<T>): Promise<List<T>> {
    let { items, next_cursor: cursor } = from;
    while (cursor !== null && items.length < requested) {
      const limit = Math.min(requested - items.length, MAX_PAGE_SIZE);
      const next = await page({ limit, ...(cursor !== FIRST_PAGE && { cursor }) });
      items = [...items, ...next.items];
      cursor = next.next_cursor;
    }
    return { items, next_cursor: cursor, requested };
  }
  return {
    key,
    load: (previous) => readPages(previous?.requested ?? size, { items: [], next_cursor: FIRST_PAGE }),
    loadMore: (list) => readPages(list.requested + size, list),
  };
}

/** Reads from the cache, and reloads when a component mounts. */
export function useResource<T>(query: Query<T> | undefined): Resource<T> {
  const entry = query && entryOf(query);
  useEffect(() => {
    if (entry === undefined) return;
    entry.users++;
    void load(entry);
    return () => void entry.users--;
  }, [entry]);
  const { data, problem } = entry?.state.value ?? NOT_READ;
  return {
    data: typed<T | undefined>(data),
    problem,
    loading: entry !== undefined && (entry.loading || (data === undefined && problem === undefined)),
    reload: () => void (entry !== undefined && load(entry)),
  };
}

/** Reads the first page of a list, and further pages on demand. */
export function useList<T>(query: ListQuery<T>): Resource<Page<T>> & { loadMore: (() => void) | undefined } {
  const { data: list, ...resource } = useResource(query);
  async function loadMore(from: List<T>): Promise<void> {
    const next = await query.loadMore(from);
    const items = next.items.slice(from.items.length);
    patch<List<T>>(query.key, (now) =>
      now.next_cursor === from.next_cursor ? { ...next, items: [...now.items, ...items] } : now,
    );
  }
  const hasMore = list !== undefined && (list.next_cursor !== null || list.items.length > list.requested);
  return {
    ...resource,
    data: list && { ...list, items: list.items.slice(0, list.requested) },
    loadMore: hasMore ? () => void loadMore(list).catch(() => resource.reload()) : undefined,
  };
}

/** Reloads the matching entries that a component uses, and deletes the others. */
export function invalidate(matches: (key: string) => boolean): void {
  for (const [key, entry] of entries) {
    if (matches(key)) refresh(key, entry);
  }
}

function refresh(key: string, entry: Entry): void {
  if (entry.users > 0) void load(entry);
  else entries.delete(key);
}

/** Changes the cached data of a key, if there is any. */
export function patch<T>(key: string, change: (data: T) => T): void {
  const entry = entries.get(key);
  if (entry === undefined) return;
  const apply = (data: unknown) => (data === undefined ? undefined : change(typed<T>(data)));
  if (entry.loading) entry.patches.push(apply);
  const { data, problem } = entry.state.value;
  entry.state.value = { data: apply(data), problem };
}

/** Changes the matching cached lists. A list that becomes shorter than requested is reloaded. */
export function patchLists<T>(
  matches: (key: string) => boolean,
  change: (list: List<T>, key: string) => List<T>,
): void {
  for (const [key, entry] of entries) {
    if (!matches(key)) continue;
    patch<List<T>>(key, (list) => change(list, key));
    const list = typed<List<T> | undefined>(entry.state.value.data);
    if (list !== undefined && list.next_cursor !== null && list.items.length < list.requested) refresh(key, entry);
  }
}

/** Deletes all cached data, since the next user may see less. */
export function clearCache(): void {
  entries.clear();
}

async function load(entry: Entry): Promise<void> {
  if (entry.loading) {
    entry.reload = true;
    return;
  }
  entry.loading = true;
  while (entry.loading) {
    entry.reload = false;
    entry.patches = [];
    const { data, problem } = await read(entry);
    // In one step with the assignment, so that no change in between is lost.
    const patched = problem === undefined ? entry.patches.reduce((patched, apply) => apply(patched), data) : data;
    entry.loading = entry.reload;
    entry.state.value = { data: patched, problem };
  }
}

async function read(entry: Entry): Promise<State> {
  try {
    return { data: await entry.read(), problem: undefined };
  } catch (error) {
    const problem = asProblem(error);
    return { data: problem.status === 404 ? undefined : entry.state.value.data, problem };
  }
}

function entryOf<T>({ key, load }: Query<T>): Entry {
  const known = entries.get(key);
  if (known !== undefined) return known;
  const state = signal<State>(NOT_READ);
  const read = () => load(typed<T | undefined>(state.value.data));
  const entry: Entry = { state, loading: false, reload: false, patches: [], read, users: 0 };
  entries.set(key, entry);
  return entry;
}

/** Asserts the type of a cached value, nowhere else: a key always belongs to the same query. */
function typed<T>(data: unknown): T {
  // biome-ignore lint/suspicious/noExplicitAny: the type is that of the query
  const value: any = data;
  return value;
}
