import { fileURLToPath } from 'node:url';
import type { Config } from './load-config.ts';

const INSTALLED = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Makes a function that names the folders of the server in a text for clients, who need not know where they are. It is the
 * last line: an error that is about a path says its name alone.
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
