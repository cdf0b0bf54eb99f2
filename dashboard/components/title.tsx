import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';

/** Sets the heading of a page, and the title of its tab. */
export function Title({ title, tab = title, children }: { title: string; tab?: string; children?: ComponentChildren }) {
  useEffect(() => {
    document.title = `${tab} · Pullwright`;
  }, [tab]);
  return (
    <div class="title">
      <h1>{title}</h1>
      <div class="actions">{children}</div>
    </div>
  );
}
