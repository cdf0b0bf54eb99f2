import type { Scope } from '../schemas/key.ts';

/** The entries of the navigation. `key` follows `g` in the keyboard shortcut; a caller needs `scope` to see the page. */
export const NAV_ITEMS: readonly { name: string; href: string; key: string; scope: Scope | 'any' }[] = [
  { name: 'Tickets', href: '/dashboard/', key: 't', scope: 'any' },
  { name: 'Runs', href: '/dashboard/runs', key: 'r', scope: 'any' },
  { name: 'Permissions', href: '/dashboard/permissions', key: 'p', scope: 'any' },
  { name: 'Usage', href: '/dashboard/usage', key: 'u', scope: 'any' },
  { name: 'Agents', href: '/dashboard/agents', key: 'a', scope: 'any' },
  { name: 'Keys', href: '/dashboard/keys', key: 'k', scope: 'admin' },
  { name: 'Audit', href: '/dashboard/audit', key: 'l', scope: 'admin' },
];
