import { type Signal, signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Problem } from '../../schemas/problem.ts';
import { asProblem } from './problem.ts';

/** Something that can be read of the API, and the key it is kept under. */
export type Query<T> = {
  key: string;
  /** @param before what was read of it last */
  load(before: T | undefined): Promise<T>;
};

export type Page<T> = { items: T[]; next_cursor: string | null };

/** A list from its beginning. What comes makes it longer; as much as was requested for is shown. */
export type List<T> = Page<T> & { requested: number };

/** A list of which more can be read than the first page. */
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

/** The API gives no more at once. */
const MAX_PAGE_SIZE = 100;

const FIRST_PAGE = '';

/** A list in pages. It is read anew as far as it was requested for before: whoever looks at its third page stays there. */
export function listOf<T>(
  key: string,
  size: number,
  page: (query: { limit: number; cursor?: string }) => Promise<Page<T>>,
): ListQuery<T> {
  async function read(requested: number, from: Page<T>): Promise<List<T>> {
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
    load: (before) => read(before?.requested ?? size, { items: [], next_cursor: FIRST_PAGE }),
    loadMore: (list) => read(list.requested + size, list),
  };
}

/** What the API has, kept while components use it and shown again at once when one comes back to it. */
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

/** A list of the API with its first page, and more of it on demand. */
export function useList<T>(query: ListQuery<T>): Resource<Page<T>> & { loadMore: (() => void) | undefined } {
  const { data: list, ...resource } = useResource(query);
  async function loadMore(from: List<T>): Promise<void> {
    const longer = await query.loadMore(from);
    const items = longer.items.slice(from.items.length);
    patch<List<T>>(query.key, (now) =>
      now.next_cursor === from.next_cursor ? { ...longer, items: [...now.items, ...items] } : now,
    );
  }
  const hasMore = list !== undefined && (list.next_cursor !== null || list.items.length > list.requested);
  return {
    ...resource,
    data: list && { ...list, items: list.items.slice(0, list.requested) },
    loadMore: hasMore ? () => void loadMore(list).catch(() => resource.reload()) : undefined,
  };
}

/** Loads anew what is in use below a path, and forgets what is not. */
export function invalidate(belongs: (key: string) => boolean): void {
  for (const [key, entry] of entries) {
    if (belongs(key)) refresh(key, entry);
  }
}

function refresh(key: string, entry: Entry): void {
  if (entry.users > 0) void load(entry);
  else entries.delete(key);
}

/** Changes what is kept under a key, if anything is. */
export function patch<T>(key: string, change: (data: T) => T): void {
  const entry = entries.get(key);
  if (entry === undefined) return;
  const apply = (data: unknown) => (data === undefined ? undefined : change(typed<T>(data)));
  if (entry.loading) entry.patches.push(apply);
  const { data, problem } = entry.state.value;
  entry.state.value = { data: apply(data), problem };
}

/** Changes all lists that are kept whose key the predicate holds for. One that became too short is loaded anew. */
export function patchLists<T>(
  belongs: (key: string) => boolean,
  change: (list: List<T>, key: string) => List<T>,
): void {
  for (const [key, entry] of entries) {
    if (!belongs(key)) continue;
    patch<List<T>>(key, (list) => change(list, key));
    const list = typed<List<T> | undefined>(entry.state.value.data);
    if (list !== undefined && list.next_cursor !== null && list.items.length < list.requested) refresh(key, entry);
  }
}

/** Forgets everything, such as what another key could see. */
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
    const state = await read(entry);
    entry.loading = entry.reload;
    entry.state.value = state;
  }
}

async function read(entry: Entry): Promise<State> {
  try {
    const data = await entry.read();
    return { data: entry.patches.reduce((patched, apply) => apply(patched), data), problem: undefined };
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

/** The only place that assumes the type of a cached value: a key always belongs to the same query. */
function typed<T>(data: unknown): T {
  // biome-ignore lint/suspicious/noExplicitAny: the type is that of the query
  const value: any = data;
  return value;
}
