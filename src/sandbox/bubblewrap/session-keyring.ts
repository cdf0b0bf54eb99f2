import { existsSync } from 'node:fs';
import { isArchitecture, numberOf } from '../seccomp/syscalls.ts';

const PERL = '/usr/bin/perl';
const KEYCTL_JOIN_SESSION_KEYRING = 1;
/** Exit code of env(1) when a command does not exist. */
const NOT_FOUND = 127;

/**
 * Returns the command prefix that gives a command an empty session keyring. All sandboxes would otherwise inherit the server's keyring
 * with its keys. Without perl the prefix is empty: the seccomp filter alone denies keyring calls.
 *
 * Perl is part of every Debian, makes the system call in a millisecond and, unlike `keyctl session`, prints nothing.
 */
export function newSessionKeyring(): string[] {
  if (!isArchitecture(process.arch) || !existsSync(PERL)) return [];
  const join = `syscall(${numberOf('keyctl', process.arch)}, ${KEYCTL_JOIN_SESSION_KEYRING}, 0)`;
  return [PERL, '-e', `${join}; exec { $ARGV[0] } @ARGV; exit ${NOT_FOUND}`];
}
