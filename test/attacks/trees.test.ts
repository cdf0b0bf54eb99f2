import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { USERS } from '../sandbox/users.ts';

const RUNNER = fileURLToPath(new URL('tree-fuzz/run-trees.ts', import.meta.url));
const TREES = process.env.FUZZ_TREES ?? '5';
const SEED = process.env.FUZZ_SEED ?? '1';
const NO_PERL = existsSync('/usr/bin/perl') ? false : 'the trees are planted by perl, which is missing';

for (const { name, skip } of USERS) {
  t.test(
    `a server of the user ${name} bears ${TREES} hostile trees, seed ${SEED}`,
    { skip: skip || NO_PERL },
    async (t) => {
      const args = [RUNNER, '--trees', TREES, '--seed', SEED, '--user', name];
      const { stdout } = await promisify(execFile)(process.execPath, args).catch(({ stdout }) => ({ stdout }));
      t.match(stdout, /: no violation\n$/);
    },
  );
}
