import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { Palette } from './components/palette.tsx';
import { ShortcutHelp } from './components/shortcut-help.tsx';
import { failedAttempts } from './lib/change-feed.ts';
import { permissions } from './lib/queries.ts';
import { useList } from './lib/resource.ts';
import { session, useCan } from './lib/session.ts';
import { useShortcuts } from './lib/shortcuts.ts';
import { signOut } from './lib/sign-in.ts';
import { NAV_ITEMS } from './nav.ts';

/** Shows the frame of every page: navigation, account and connection status. */
export function Shell({ children }: { children: ComponentChildren }) {
  const { path, route } = useLocation();
  const [open, setOpen] = useState<'palette' | 'shortcuts'>();
  const main = useRef<HTMLElement>(null);
  const isFirstPage = useRef(true);
  useShortcuts({ onPalette: () => setOpen('palette'), onHelp: () => setOpen('shortcuts'), navigate: route });

  // A new page starts at its top, also for a screen reader.
  const page = path.split('/').slice(0, 4).join('/');
  useEffect(() => {
    if (isFirstPage.current) isFirstPage.current = false;
    else {
      window.scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
  }, [page]);

  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to content
      </a>
      <Navigation path={path} onPalette={() => setOpen('palette')} onHelp={() => setOpen('shortcuts')} />
      <div class="page">
        <Connection />
        <main id="main" ref={main} tabIndex={-1}>
          {children}
        </main>
      </div>
      {open === 'palette' && <Palette onClose={() => setOpen(undefined)} />}
      {open === 'shortcuts' && <ShortcutHelp onClose={() => setOpen(undefined)} />}
    </div>
  );
}

function Navigation({ path, onPalette, onHelp }: { path: string; onPalette(): void; onHelp(): void }) {
  const can = useCan();
  const current = session.value;
  const nav = useRef<HTMLElement>(null);
  // On a narrow window the entries scroll; the current one stays visible.
  useEffect(() => {
    nav.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [path]);
  return (
    <header class="nav">
      <a class="brand" href="/dashboard/">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <rect width="32" height="32" rx="8" />
          <path d="M10 12v8M22 20v-6a4 4 0 0 0-4-4h-3M17.5 7l-3 3 3 3" />
          <circle cx="10" cy="9" r="2.6" />
          <circle cx="10" cy="23" r="2.6" />
          <circle cx="22" cy="23" r="2.6" />
        </svg>
        Pullwright
      </a>
      <button type="button" class="jump" onClick={onPalette}>
        Jump to… <kbd>Ctrl K</kbd>
      </button>
      <nav aria-label="Pages" ref={nav}>
        {NAV_ITEMS.filter(({ scope }) => can(scope)).map(({ href, name }) => (
          <a key={href} href={href} aria-current={isAt(path, href) ? 'page' : undefined}>
            {name}
            {name === 'Permissions' && <PendingPermissions />}
          </a>
        ))}
      </nav>
      <div class="account">
        {current?.key_id === 'loopback' ? (
          <span class="muted">Local access, no key required</span>
        ) : (
          <>
            <span class="name" title={`Key ${current?.key_id}: ${current?.scopes.join(', ')}`}>
              {current?.name}
            </span>
            <button type="button" class="quiet small" onClick={() => void signOut()}>
              Sign out
            </button>
          </>
        )}
        <button type="button" class="quiet small" onClick={onHelp} aria-label="Keyboard shortcuts">
          ?
        </button>
      </div>
    </header>
  );
}

function isAt(path: string, href: string): boolean {
  if (href === '/dashboard/')
    return path === '/dashboard/' || path === '/dashboard' || path.startsWith('/dashboard/tickets');
  return path === href || path.startsWith(`${href}/`);
}

function PendingPermissions() {
  const { data } = useList(permissions);
  const pending = data?.items.length ?? 0;
  return pending === 0 ? null : (
    <span class="count">
      {pending}
      <span class="hidden"> pending</span>
    </span>
  );
}

/** Reports two consecutive failures. A single one is normal when the server restarts or a proxy closes a stream. */
function Connection() {
  return (
    <div class="connection" role="status">
      {failedAttempts.value >= 2 && (
        <div class="notice ask">Connection lost, reconnecting… This page may be out of date.</div>
      )}
    </div>
  );
}
