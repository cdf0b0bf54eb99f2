import { useEffect } from 'preact/hooks';
import { NAV_ITEMS } from '../nav.ts';

type Handlers = { onPalette(): void; onHelp(): void; navigate(path: string): void };

/** The keyboard shortcuts and their descriptions, for the help dialog. */
export const SHORTCUTS: readonly [keys: string, description: string][] = [
  ['Ctrl K', 'Jump to a ticket or page'],
  ['/', 'Search'],
  ['j  k', 'Next or previous row'],
  ['Enter', 'Open the row'],
  ['c', 'New ticket, or message to the agent'],
  ['Ctrl Enter', 'Send or save'],
  ...NAV_ITEMS.map(({ name, key }): [string, string] => [`g ${key}`, name]),
  ['Esc', 'Close'],
  ['?', 'Keyboard shortcuts'],
];

/**
 * Handles the shortcuts of all pages. Elements opt in by the attributes `data-search`, `data-row` and `data-compose`. Single
 * letters do nothing while a field has the focus or a dialog is open.
 */
export function useShortcuts({ onPalette, onHelp, navigate }: Handlers): void {
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
      const handled = afterG ? navigateTo(event.key) : act(event.key);
      afterG = !afterG && event.key === 'g';
      if (handled) event.preventDefault();
    }

    function navigateTo(key: string): boolean {
      const item = NAV_ITEMS.find((known) => known.key === key);
      if (item !== undefined) navigate(item.href);
      return item !== undefined;
    }

    function act(key: string): boolean {
      if (key === '?') onHelp();
      else if (key === '/') return activate('[data-search]');
      else if (key === 'c') return activate('[data-compose]');
      else if (key === 'j') return moveFocus(1);
      else if (key === 'k') return moveFocus(-1);
      else return false;
      return true;
    }

    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [onPalette, onHelp, navigate]);
}

export function isTyping({ target }: KeyboardEvent): boolean {
  return target instanceof HTMLElement && target.matches('input, textarea, select, [contenteditable]');
}

/** Clicks a button, focuses a field. */
function activate(selector: string): boolean {
  const element = document.querySelector<HTMLElement>(selector);
  if (element instanceof HTMLButtonElement) element.click();
  else element?.focus();
  return element !== null;
}

function moveFocus(by: number): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')];
  const at = rows.findIndex((row) => row.matches(':focus'));
  const next = rows[at === -1 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
  next?.focus();
  return next !== undefined;
}
