import { useEffect, useState } from 'preact/hooks';
import type { Problem } from '../../schemas/problem.ts';
import { request } from './api.ts';
import { asProblem } from './problem.ts';

type Entry = {
  data?: unknown;
  problem?: Problem;
  loading: boolean;
  /** What was asked for while a request was under way is asked for again after it. */
  again: boolean;
  listeners: Set<() => void>;
};

export type Resource<T> = { data: T | undefined; problem: Problem | undefined; loading: boolean; reload(): void };

export type Page<T> = { items: T[]; next_cursor: string | null };

const entries = new Map<string, Entry>();

/** What the API has at a path, kept while components use it and shown again at once when one comes back to it. */
export function useResource<T>(path: string | undefined): Resource<T> {
  const [, render] = useState({});
  useEffect(() => {
    if (path === undefined) return;
    const entry = entryOf(path);
    const listener = () => render({});
    entry.listeners.add(listener);
    void load(path);
    return () => void entry.listeners.delete(listener);
  }, [path]);
  const entry = path === undefined ? undefined : entries.get(path);
  return {
    data: dataOf<T>(entry),
    problem: entry?.problem,
    loading: path !== undefined && (entry === undefined || entry.loading),
    reload: () => void (path !== undefined && load(path)),
  };
}

/** A list of the API with its first page, and more of it on demand. */
export function useList<T>(path: string): Resource<Page<T>> & { more: (() => void) | undefined } {
  const resource = useResource<Page<T>>(path);
  const cursor = resource.data?.next_cursor ?? null;
  async function more(from: string): Promise<void> {
    const next = await request<Page<T>>(
      'GET',
      `${path}${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(from)}`,
    );
    patch<Page<T>>(path, (page) => ({ items: [...page.items, ...next.items], next_cursor: next.next_cursor }));
  }
  return { ...resource, more: cursor === null ? undefined : () => void more(cursor).catch(() => resource.reload()) };
}

/** Loads anew what is in use below a path, and forgets what is not. */
export function invalidate(belongs: (path: string) => boolean): void {
  for (const [path, entry] of entries) {
    if (!belongs(path)) continue;
    if (entry.listeners.size > 0) void load(path);
    else entries.delete(path);
  }
}

/** Changes what is kept of a path, if anything is. */
export function patch<T>(path: string, change: (data: T) => T): void {
  const entry = entries.get(path);
  const data = dataOf<T>(entry);
  if (entry === undefined || data === undefined) return;
  entry.data = change(data);
  tell(entry);
}

/** Changes all lists that are kept whose path the predicate holds for. */
export function patchLists<T>(belongs: (path: string) => boolean, change: (items: T[]) => T[]): void {
  for (const path of entries.keys()) {
    if (belongs(path)) patch<Page<T>>(path, (page) => ({ ...page, items: change(page.items) }));
  }
}

/** Forgets everything, such as what another key could see. */
export function forgetAll(): void {
  entries.clear();
}

async function load(path: string): Promise<void> {
  const entry = entryOf(path);
  if (entry.loading) {
    entry.again = true;
    return;
  }
  entry.loading = true;
  do {
    entry.again = false;
    try {
      entry.data = await request<unknown>('GET', path);
      delete entry.problem;
    } catch (error) {
      entry.problem = asProblem(error);
      if (entry.problem.status === 404) delete entry.data;
    }
  } while (entry.again);
  entry.loading = false;
  tell(entry);
}

function entryOf(path: string): Entry {
  const entry = entries.get(path) ?? { loading: false, again: false, listeners: new Set() };
  entries.set(path, entry);
  return entry;
}

/** The one place that believes what type is at a path. */
function dataOf<T>(entry: Entry | undefined): T | undefined {
  // biome-ignore lint/suspicious/noExplicitAny: what is at a path is of the type that those who use the path name
  const data: any = entry?.data;
  return data;
}

function tell(entry: Entry): void {
  for (const listener of [...entry.listeners]) listener();
}
