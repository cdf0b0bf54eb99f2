import { existsSync } from 'node:fs';
import t from 'tap';
import { numberOf } from '../../src/sandbox/seccomp/syscalls.ts';
import { USERS } from './users.ts';

const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
const perl = (lines: string) => ['perl', '-e', `my @words = ('user', 'words', 'x'); ${lines}`] as const;
const LEAVE = perl(`print syscall(${numberOf('add_key', architecture)}, @words, 1, -3) > 0 ? 'left' : 'denied'`);
const FIND = perl(
  `print syscall(${numberOf('keyctl', architecture)}, 10, -3, @words[0, 1], 0) > 0 ? 'found' : 'nothing'`,
);
const SECCOMP_OPTION = '--seccomp\x004\0';
const NO_PERL = existsSync('/usr/bin/perl') ? false : 'the calls are made by perl, which is missing';

for (const { name, skip, run } of USERS) {
  t.test(`sandboxes share no keys, for the user ${name}`, { skip: skip || NO_PERL }, async (t) => {
    const outputs = async (without: string[], sharedKeyring: boolean) =>
      (await run({ commands: [LEAVE, FIND], without, sharedKeyring })).map(({ output }) => output);
    t.same(await outputs([], false), ['denied', 'nothing']);
    t.same(await outputs([], true), ['denied', 'nothing'], 'the filter suffices');
    t.same(await outputs([SECCOMP_OPTION], false), ['left', 'nothing'], 'the keyring suffices');
    t.same(
      await outputs([SECCOMP_OPTION], true),
      ['left', 'found'],
      'without both, the second finds the key of the first',
    );
  });
}
