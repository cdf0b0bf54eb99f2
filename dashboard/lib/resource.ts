import { useEffect, useState } from 'preact/hooks';
import type { Problem } from '../../schemas/problem.ts';
import { asProblem } from './problem.ts';

/** Something that can be read of the API, and the key it is kept under. */
export type Query<T> = {
  key: string;
  /** @param before what was read of it last */
  load(before: T | undefined): Promise<T>;
};

export type Page<T> = { items: T[]; next_cursor: string | null };

/** A list of which more can be read than the first page. */
export type ListQuery<T> = Query<Page<T>> & { more(page: Page<T>): Promise<Page<T>> };

export type Resource<T> = { data: T | undefined; problem: Problem | undefined; loading: boolean; reload(): void };

type Entry = {
  data?: unknown;
  problem?: Problem;
  loading: boolean;
  /** What was asked for while a request was under way is asked for again after it. */
  again: boolean;
  read(): Promise<unknown>;
  listeners: Set<() => void>;
};

const entries = new Map<string, Entry>();

/** The API gives no more at once. */
const LONGEST_PAGE = 100;

/** A list in pages. It is read anew as far as it was read before: whoever looks at its third page stays there. */
export function listOf<T>(
  key: string,
  size: number,
  page: (query: { limit: number; cursor?: string }) => Promise<Page<T>>,
): ListQuery<T> {
  async function more({ items, next_cursor }: Page<T>, limit = size): Promise<Page<T>> {
    const next = await page({ limit, ...(next_cursor !== null && { cursor: next_cursor }) });
    return { items: [...items, ...next.items], next_cursor: next.next_cursor };
  }
  async function load(before: Page<T> | undefined): Promise<Page<T>> {
    const wanted = before?.items.length ?? 0;
    let read = await more({ items: [], next_cursor: null }, Math.min(Math.max(size, wanted), LONGEST_PAGE));
    while (read.next_cursor !== null && read.items.length < wanted) read = await more(read);
    return read;
  }
  return { key, load, more };
}

/** What the API has, kept while components use it and shown again at once when one comes back to it. */
export function useResource<T>(query: Query<T> | undefined): Resource<T> {
  const [, render] = useState({});
  const key = query?.key;
  useEffect(() => {
    if (query === undefined) return;
    const entry = entryOf(query);
    const listener = () => render({});
    entry.listeners.add(listener);
    void load(entry);
    return () => void entry.listeners.delete(listener);
  }, [key]);
  const entry = key === undefined ? undefined : entries.get(key);
  return {
    data: dataOf<T>(entry),
    problem: entry?.problem,
    loading: key !== undefined && (entry === undefined || entry.loading),
    reload: () => void (query !== undefined && load(entryOf(query))),
  };
}

/** A list of the API with its first page, and more of it on demand. */
export function useList<T>(query: ListQuery<T>): Resource<Page<T>> & { more: (() => void) | undefined } {
  const resource = useResource(query);
  const { data } = resource;
  async function more(from: Page<T>): Promise<void> {
    const longer = await query.more(from);
    const items = longer.items.slice(from.items.length);
    patch<Page<T>>(query.key, (now) =>
      now.next_cursor === from.next_cursor ? { ...longer, items: [...now.items, ...items] } : now,
    );
  }
  const hasMore = data !== undefined && data.next_cursor !== null;
  return { ...resource, more: hasMore ? () => void more(data).catch(() => resource.reload()) : undefined };
}

/** Loads anew what is in use below a path, and forgets what is not. */
export function invalidate(belongs: (key: string) => boolean): void {
  for (const [key, entry] of entries) {
    if (!belongs(key)) continue;
    if (entry.listeners.size > 0) void load(entry);
    else entries.delete(key);
  }
}

/** Changes what is kept under a key, if anything is. */
export function patch<T>(key: string, change: (data: T) => T): void {
  const entry = entries.get(key);
  const data = dataOf<T>(entry);
  if (entry === undefined || data === undefined) return;
  entry.data = change(data);
  tell(entry);
}

/** Changes all lists that are kept whose key the predicate holds for. */
export function patchLists<T>(belongs: (key: string) => boolean, change: (items: T[], key: string) => T[]): void {
  for (const key of entries.keys()) {
    if (belongs(key)) patch<Page<T>>(key, (page) => ({ ...page, items: change(page.items, key) }));
  }
}

/** Forgets everything, such as what another key could see. */
export function forgetAll(): void {
  entries.clear();
}

async function load(entry: Entry): Promise<void> {
  if (entry.loading) {
    entry.again = true;
    return;
  }
  entry.loading = true;
  do {
    entry.again = false;
    try {
      entry.data = await entry.read();
      delete entry.problem;
    } catch (error) {
      entry.problem = asProblem(error);
      if (entry.problem.status === 404) delete entry.data;
    }
  } while (entry.again);
  entry.loading = false;
  tell(entry);
}

function entryOf<T>({ key, load }: Query<T>): Entry {
  const known = entries.get(key);
  if (known !== undefined) return known;
  const entry: Entry = { loading: false, again: false, read: () => load(dataOf<T>(entry)), listeners: new Set() };
  entries.set(key, entry);
  return entry;
}

/** The one place that believes what type is kept under a key. */
function dataOf<T>(entry: Entry | undefined): T | undefined {
  // biome-ignore lint/suspicious/noExplicitAny: what is kept under a key is of the type of its query
  const data: any = entry?.data;
  return data;
}

function tell(entry: Entry): void {
  for (const listener of [...entry.listeners]) listener();
}
