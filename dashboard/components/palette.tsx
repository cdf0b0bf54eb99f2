import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { tickets } from '../lib/queries.ts';
import { useList } from '../lib/resource.ts';
import { useCan } from '../lib/session.ts';
import { NAV_ITEMS } from '../nav.ts';
import { Dialog } from './dialog.tsx';

const MAX_RESULTS = 12;

/** Shows the command palette, which finds tickets and pages by any of their words. */
export function Palette({ onClose }: { onClose(): void }) {
  const { route } = useLocation();
  const can = useCan();
  const { data } = useList(tickets);
  const [search, setSearch] = useState('');
  const [position, setPosition] = useState(0);
  const entries = [
    ...(data?.items ?? []).map(({ ticket_id, title }) => ({
      name: ticket_id,
      description: title ?? '',
      href: `/dashboard/tickets/${ticket_id}`,
    })),
    ...NAV_ITEMS.filter(({ scope }) => can(scope)).map(({ name, href }) => ({ name, description: 'Page', href })),
  ];
  const words = search.toLowerCase().split(/\s+/);
  const results = entries
    .filter(({ name, description }) => words.every((word) => `${name} ${description}`.toLowerCase().includes(word)))
    .slice(0, MAX_RESULTS);
  const selected = Math.min(position, results.length - 1);

  function open(index: number): void {
    const entry = results[index];
    if (entry === undefined) return;
    onClose();
    route(entry.href);
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.key === 'ArrowDown') setPosition(Math.min(results.length - 1, selected + 1));
    else if (event.key === 'ArrowUp') setPosition(Math.max(0, selected - 1));
    else if (event.key === 'Enter') open(selected);
    else return;
    event.preventDefault();
  }

  return (
    <Dialog title="Jump to" onClose={onClose}>
      <input
        type="text"
        role="combobox"
        aria-label="Ticket or page"
        aria-expanded="true"
        aria-controls="palette"
        aria-activedescendant={results.length === 0 ? undefined : `palette-${selected}`}
        placeholder="Ticket or page"
        autoComplete="off"
        value={search}
        onInput={(event) => {
          setSearch(event.currentTarget.value);
          setPosition(0);
        }}
        onKeyDown={onKeyDown}
      />
      {results.length === 0 ? (
        <p class="muted">No matches</p>
      ) : (
        <div id="palette" class="palette" role="listbox" aria-label="Results">
          {results.map(({ name, description, href }, index) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the field above handles the keyboard
            <div
              key={href}
              id={`palette-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === selected}
              onClick={() => open(index)}
            >
              <strong>{name}</strong> <span class="muted">{description}</span>
            </div>
          ))}
        </div>
      )}
    </Dialog>
  );
}
