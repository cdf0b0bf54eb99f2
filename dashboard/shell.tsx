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

/** What is around every screen: the ways to the others, who is signed in, and whether the server answers. */
export function Shell({ children }: { children: ComponentChildren }) {
  const { path, route } = useLocation();
  const [open, setOpen] = useState<'palette' | 'keys'>();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useShortcuts({ onPalette: () => setOpen('palette'), onHelp: () => setOpen('keys'), go: route });

  // A new screen begins at its top, for the eyes and for a screen reader.
  const screen = path.split('/').slice(0, 4).join('/');
  useEffect(() => {
    if (first.current) first.current = false;
    else {
      window.scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
  }, [screen]);

  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Navigation path={path} onPalette={() => setOpen('palette')} onHelp={() => setOpen('keys')} />
      <div class="page">
        <Connection />
        <main id="main" ref={main} tabIndex={-1}>
          {children}
        </main>
      </div>
      {open === 'palette' && <Palette onClose={() => setOpen(undefined)} />}
      {open === 'keys' && <ShortcutHelp onClose={() => setOpen(undefined)} />}
    </div>
  );
}

function Navigation({ path, onPalette, onHelp }: { path: string; onPalette(): void; onHelp(): void }) {
  const can = useCan();
  const who = session.value;
  const screens = useRef<HTMLElement>(null);
  // Where the screens do not fit beside each other, the one that one is at is in sight.
  useEffect(() => {
    screens.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
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
      <nav aria-label="Screens" ref={screens}>
        {NAV_ITEMS.filter(({ scope }) => can(scope)).map(({ href, name }) => (
          <a key={href} href={href} aria-current={isAt(path, href) ? 'page' : undefined}>
            {name}
            {name === 'Permissions' && <Waiting />}
          </a>
        ))}
      </nav>
      <div class="account">
        {who?.key_id === 'loopback' ? (
          <span class="muted">No key is needed on this machine</span>
        ) : (
          <>
            <span class="name" title={`Key ${who?.key_id}: ${who?.scopes.join(', ')}`}>
              {who?.name}
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

function Waiting() {
  const { data } = useList(permissions);
  const waiting = data?.items.length ?? 0;
  return waiting === 0 ? null : (
    <span class="count">
      {waiting}
      <span class="hidden"> waiting</span>
    </span>
  );
}

/** Silent unless the server did not answer twice in a row: one failed attempt is a restart, or a proxy that cut a stream. */
function Connection() {
  const failed = failedAttempts.value;
  return (
    <div class="connection" role="status">
      {failed >= 2 && (
        <div class="notice ask">The server does not answer. What you see may be old; it is tried again by itself.</div>
      )}
    </div>
  );
}
