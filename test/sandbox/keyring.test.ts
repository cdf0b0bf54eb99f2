import { existsSync } from 'node:fs';
import t from 'tap';
import { numberOf } from '../../src/sandbox/seccomp/syscalls.ts';
import { USERS } from './users.ts';

const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
const perl = (lines: string) => ['perl', '-e', `my @entry = ('user', 'entry', 'x'); ${lines}`] as const;
const ADD_KEY = perl(`print syscall(${numberOf('add_key', architecture)}, @entry, 1, -3) > 0 ? 'added' : 'denied'`);
const FIND_KEY = perl(
  `print syscall(${numberOf('keyctl', architecture)}, 10, -3, @entry[0, 1], 0) > 0 ? 'found' : 'nothing'`,
);
const SECCOMP_OPTION = '--seccomp\x004\0';
const NO_PERL = existsSync('/usr/bin/perl') ? false : 'perl is missing, which makes the calls';

for (const { name, skip, run } of USERS) {
  t.test(`two sandboxes of the user ${name} share no keys`, { skip: skip || NO_PERL }, async (t) => {
    const outputs = async (without: string[], sharedKeyring: boolean) =>
      (await run({ commands: [ADD_KEY, FIND_KEY], without, sharedKeyring })).map(({ output }) => output);
    t.same(await outputs([], false), ['denied', 'nothing']);
    t.same(await outputs([], true), ['denied', 'nothing'], 'the filter suffices');
    t.same(await outputs([SECCOMP_OPTION], false), ['added', 'nothing'], 'the keyring suffices');
    t.same(
      await outputs([SECCOMP_OPTION], true),
      ['added', 'found'],
      'without filter and keyring, the second sandbox finds the key of the first',
    );
  });
}
