import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { USERS } from '../sandbox/users.ts';

const RUNNER = fileURLToPath(new URL('tree-fuzz/run-trees.ts', import.meta.url));
const TREES = process.env.FUZZ_TREES ?? '5';
const SEED = process.env.FUZZ_SEED ?? '1';
/** Trees that found bugs: a race for the modes of a folder, a deletion during writes, a file truncated while git read it. */
const FIXED: Readonly<Record<string, string>> = { root: '200020', ordinary: '300006' };
/** Allows for a busy machine, but is less than the timeout of the server's own programs. */
const FUZZ_CANCEL_MS = '20000';
const NO_PERL = existsSync('/usr/bin/perl') ? false : 'perl is missing, which plants the trees';

async function play(...args: string[]): Promise<string> {
  const options = { env: { ...process.env, FUZZ_CANCEL_MS } };
  const { stdout } = await promisify(execFile)(process.execPath, [RUNNER, ...args], options).catch((error) => error);
  return stdout;
}

for (const { name, skip } of USERS) {
  t.test(`a server of the user ${name} withstands hostile trees`, { skip: skip || NO_PERL }, async (t) => {
    const random = await play('--user', name, '--trees', TREES, '--seed', SEED);
    t.match(random, /: no violation\n$/, `${TREES} trees, seed ${SEED}`);
    const fixed = await play('--user', name, '--tree', FIXED[name] ?? '');
    t.match(fixed, /: no violation\n$/, 'the trees of earlier violations have none');
  });
}
