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

/** A list from its beginning. What comes makes it longer; as much as was asked for is shown. */
export type List<T> = Page<T> & { asked: number };

/** A list of which more can be read than the first page. */
export type ListQuery<T> = Query<List<T>> & { more(list: List<T>): Promise<List<T>> };

export type Resource<T> = { data: T | undefined; problem: Problem | undefined; loading: boolean; reload(): void };

type Entry = {
  data?: unknown;
  problem?: Problem;
  loading: boolean;
  /** What was asked for while a request was under way is asked for again after it. */
  again: boolean;
  /** What is told while a request is under way is told once more to its answer, which may be older. */
  told: (() => void)[];
  read(): Promise<unknown>;
  listeners: Set<() => void>;
};

const entries = new Map<string, Entry>();

/** The API gives no more at once. */
const LONGEST_PAGE = 100;

const BEGINNING = '';

/** A list in pages. It is read anew as far as it was asked for before: whoever looks at its third page stays there. */
export function listOf<T>(
  key: string,
  size: number,
  page: (query: { limit: number; cursor?: string }) => Promise<Page<T>>,
): ListQuery<T> {
  async function read(asked: number, from: Page<T>): Promise<List<T>> {
    let { items, next_cursor: cursor } = from;
    while (cursor !== null && items.length < asked) {
      const limit = Math.min(asked - items.length, LONGEST_PAGE);
      const next = await page({ limit, ...(cursor !== BEGINNING && { cursor }) });
      items = [...items, ...next.items];
      cursor = next.next_cursor;
    }
    return { items, next_cursor: cursor, asked };
  }
  return {
    key,
    load: (before) => read(before?.asked ?? size, { items: [], next_cursor: BEGINNING }),
    more: (list) => read(list.asked + size, list),
  };
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
  const { data: list, ...resource } = useResource(query);
  async function more(from: List<T>): Promise<void> {
    const longer = await query.more(from);
    const items = longer.items.slice(from.items.length);
    patch<List<T>>(query.key, (now) =>
      now.next_cursor === from.next_cursor ? { ...longer, items: [...now.items, ...items] } : now,
    );
  }
  const hasMore = list !== undefined && (list.next_cursor !== null || list.items.length > list.asked);
  return {
    ...resource,
    data: list && { ...list, items: list.items.slice(0, list.asked) },
    more: hasMore ? () => void more(list).catch(() => resource.reload()) : undefined,
  };
}

/** Loads anew what is in use below a path, and forgets what is not. */
export function invalidate(belongs: (key: string) => boolean): void {
  for (const [key, entry] of entries) {
    if (belongs(key)) refresh(key, entry);
  }
}

function refresh(key: string, entry: Entry): void {
  if (entry.listeners.size > 0) void load(entry);
  else entries.delete(key);
}

/** Changes what is kept under a key, if anything is. */
export function patch<T>(key: string, change: (data: T) => T): void {
  const entry = entries.get(key);
  if (entry === undefined) return;
  const apply = () => {
    const data = dataOf<T>(entry);
    if (data !== undefined) entry.data = change(data);
  };
  if (entry.loading) entry.told.push(apply);
  apply();
  tell(entry);
}

/** Changes all lists that are kept whose key the predicate holds for. One that became too short is loaded anew. */
export function patchLists<T>(
  belongs: (key: string) => boolean,
  change: (list: List<T>, key: string) => List<T>,
): void {
  for (const [key, entry] of entries) {
    if (!belongs(key)) continue;
    patch<List<T>>(key, (list) => change(list, key));
    const list = dataOf<List<T>>(entry);
    if (list !== undefined && list.next_cursor !== null && list.items.length < list.asked) refresh(key, entry);
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
    entry.told = [];
    try {
      entry.data = await entry.read();
      for (const apply of entry.told) apply();
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
  const read = () => load(dataOf<T>(entry));
  const entry: Entry = { loading: false, again: false, told: [], read, listeners: new Set() };
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
