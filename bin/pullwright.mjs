#!/usr/bin/env node
// Starts the command: from the sources in a checkout, with the project's Node, or from `dist` in the published package. Plain
// JavaScript, since the Node of the machine may be too old to strip types.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
const isEnough = major > 22 || (major === 22 && minor >= 19);
const own = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
const source = new URL('../src/cli/main.ts', import.meta.url);
const main = existsSync(source) ? source : new URL('../dist/src/cli/main.js', import.meta.url);

if (isEnough) await import(main.href);
else if (existsSync(own)) handOver();
else {
  console.error(`Pullwright needs Node.js 22.19 or newer; this is ${process.versions.node}: https://nodejs.org`);
  process.exitCode = 1;
}

function handOver() {
  const child = spawn(own, [fileURLToPath(main), ...process.argv.slice(2)], { stdio: 'inherit' });
  // Ctrl+C reaches the child directly, which handles it.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`pullwright failed to start: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}
