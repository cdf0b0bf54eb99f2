import { useEffect } from 'preact/hooks';
import { NAV_ITEMS } from '../nav.ts';

type Shortcuts = { onPalette(): void; onHelp(): void; go(path: string): void };

/** What each key does, for the help. */
export const SHORTCUTS: readonly [keys: string, what: string][] = [
  ['Ctrl K', 'Jump to a ticket or a screen'],
  ['/', 'Search'],
  ['j  k', 'Next, previous row of a list'],
  ['Enter', 'Open the row'],
  ['c', 'New ticket; in a ticket, write to the agent'],
  ['Ctrl Enter', 'Send, or save'],
  ...NAV_ITEMS.map(({ name, key }): [string, string] => [`g ${key}`, name]),
  ['Esc', 'Close'],
  ['?', 'These keys'],
];

/**
 * The keys of all screens. What they act on says so in its markup: `data-search`, `data-row` and `data-compose`. While one
 * types, letters are letters.
 */
export function useShortcuts({ onPalette, onHelp, go }: Shortcuts): void {
  useEffect(() => {
    let afterG = false;
    function onKey(event: KeyboardEvent): void {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        onPalette();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || document.querySelector('dialog[open]'))
        return;
      const handled = afterG ? goTo(event.key) : act(event.key);
      afterG = !afterG && event.key === 'g';
      if (handled) event.preventDefault();
    }

    function goTo(key: string): boolean {
      const place = NAV_ITEMS.find((known) => known.key === key);
      if (place !== undefined) go(place.href);
      return place !== undefined;
    }

    function act(key: string): boolean {
      if (key === '?') onHelp();
      else if (key === '/') return focus('[data-search]');
      else if (key === 'c') return focus('[data-compose]');
      else if (key === 'j') return step(1);
      else if (key === 'k') return step(-1);
      else return false;
      return true;
    }

    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [onPalette, onHelp, go]);
}

/** Whether the keys go to a field. */
export function isTyping({ target }: KeyboardEvent): boolean {
  return target instanceof HTMLElement && target.matches('input, textarea, select, [contenteditable]');
}

/** Buttons are pressed, fields are focused. */
function focus(selector: string): boolean {
  const element = document.querySelector<HTMLElement>(selector);
  if (element instanceof HTMLButtonElement) element.click();
  else element?.focus();
  return element !== null;
}

function step(by: number): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')];
  const at = rows.findIndex((row) => row.matches(':focus'));
  const next = rows[at === -1 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
  next?.focus();
  return next !== undefined;
}
