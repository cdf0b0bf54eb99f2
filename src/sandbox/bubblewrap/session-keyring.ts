import { existsSync } from 'node:fs';
import { isArchitecture, numberOf } from '../seccomp/syscalls.ts';

const PERL = '/usr/bin/perl';
const KEYCTL_JOIN_SESSION_KEYRING = 1;
/** What env(1) exits with when there is no such command. */
const NOT_FOUND = 127;

/**
 * Words to put before a command so that it starts with an empty session keyring instead of that of the server, which may hold keys and
 * is one for all sandboxes. Without perl there are none: the seccomp filter denies every use of keyrings by itself.
 *
 * Perl, because Debian always has it, it makes any system call in a millisecond, and unlike `keyctl session` it prints nothing.
 */
export function newSessionKeyring(): string[] {
  if (!isArchitecture(process.arch) || !existsSync(PERL)) return [];
  const join = `syscall(${numberOf('keyctl', process.arch)}, ${KEYCTL_JOIN_SESSION_KEYRING}, 0)`;
  return [PERL, '-e', `${join}; exec { $ARGV[0] } @ARGV; exit ${NOT_FOUND}`];
}
