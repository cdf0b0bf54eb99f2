import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { tickets } from '../lib/queries.ts';
import { useList } from '../lib/resource.ts';
import { useCan } from '../lib/session.ts';
import { NAV_ITEMS } from '../nav.ts';
import { Dialog } from './dialog.tsx';

const MAX_RESULTS = 12;

/** Finds tickets and screens by a few letters. */
export function Palette({ onClose }: { onClose(): void }) {
  const { route } = useLocation();
  const can = useCan();
  const { data } = useList(tickets);
  const [words, setWords] = useState('');
  const [at, setAt] = useState(0);
  const entries = [
    ...(data?.items ?? []).map(({ ticket_id, title }) => ({
      name: ticket_id,
      more: title ?? '',
      href: `/dashboard/tickets/${ticket_id}`,
    })),
    ...NAV_ITEMS.filter(({ scope }) => can(scope)).map(({ name, href }) => ({ name, more: 'Screen', href })),
  ];
  const wanted = words.toLowerCase().split(/\s+/);
  const found = entries
    .filter(({ name, more }) => wanted.every((word) => `${name} ${more}`.toLowerCase().includes(word)))
    .slice(0, MAX_RESULTS);
  const chosen = Math.min(at, found.length - 1);

  function open(index: number): void {
    const entry = found[index];
    if (entry === undefined) return;
    onClose();
    route(entry.href);
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.key === 'ArrowDown') setAt(Math.min(found.length - 1, chosen + 1));
    else if (event.key === 'ArrowUp') setAt(Math.max(0, chosen - 1));
    else if (event.key === 'Enter') open(chosen);
    else return;
    event.preventDefault();
  }

  return (
    <Dialog title="Jump to" onClose={onClose}>
      <input
        type="text"
        role="combobox"
        aria-label="Ticket or screen"
        aria-expanded="true"
        aria-controls="palette"
        aria-activedescendant={found.length === 0 ? undefined : `palette-${chosen}`}
        placeholder="Ticket or screen"
        autoComplete="off"
        value={words}
        onInput={(event) => {
          setWords(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
      />
      {found.length === 0 ? (
        <p class="muted">Nothing is called that.</p>
      ) : (
        <div id="palette" class="palette" role="listbox" aria-label="Found">
          {found.map(({ name, more, href }, index) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the field above takes the keys
            <div
              key={href}
              id={`palette-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === chosen}
              onClick={() => open(index)}
            >
              <strong>{name}</strong> <span class="muted">{more}</span>
            </div>
          ))}
        </div>
      )}
    </Dialog>
  );
}
