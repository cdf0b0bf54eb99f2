import { fileURLToPath } from 'node:url';
import type { Config } from './load-config.ts';

const INSTALLED = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Creates a function that replaces the paths of the server's folders in a text for clients by their names. It is a second
 * line of defence: errors should not contain absolute paths.
 */
export function createPathHider({ DATA_DIR, TICKETS_ROOT }: Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT'>) {
  const folders = [
    { path: DATA_DIR, name: 'DATA_DIR' },
    { path: TICKETS_ROOT, name: 'TICKETS_ROOT' },
    { path: INSTALLED.replace(/\/$/, ''), name: 'Pullwright' },
    { path: process.cwd(), name: '.' },
  ];
  const patterns = folders
    .filter(({ path }) => path.length > 1)
    .sort((a, b) => b.path.length - a.path.length)
    .map(({ path, name }) => ({ pattern: new RegExp(`(?<![\\w.-])${escapePattern(path)}(?![\\w-])`, 'g'), name }));
  return (text: string): string => patterns.reduce((shown, { pattern, name }) => shown.replace(pattern, name), text);
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}
