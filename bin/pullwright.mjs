#!/usr/bin/env node
// Hands over to the project's own Node, which runs TypeScript; plain JavaScript, since the machine's Node may be older.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const own = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
const { status, error } = spawnSync(existsSync(own) ? own : process.execPath, [main, ...process.argv.slice(2)], {
  stdio: 'inherit',
});
if (error !== undefined) console.error(`pullwright could not start: ${error.message}`);
process.exitCode = status ?? 1;
