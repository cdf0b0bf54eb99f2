import type { ERRNO } from '../../src/sandbox/seccomp/rules.ts';
import { type Architecture, numberOf, type Syscall } from '../../src/sandbox/seccomp/syscalls.ts';

/** A string is passed as a pointer. */
type Argument = number | bigint | string;

export type CallCase = {
  call: Syscall;
  args: readonly Argument[];
  /** The error that the filter returns; absent when it allows the call. */
  answer?: keyof typeof ERRNO;
  /** Why the kernel may return the same error without the filter. */
  withoutFilter?: string;
};

const CAPABILITY = 'it needs a capability';
const SYSCTL = 'it depends on settings of the machine';
const BAD_POINTER = 1;
const BAD_FD = 0xffffffff;
const NO_PROCESS = 0x7fffffff;
/** A bit that the kernel ignores, because the argument has 32 bits. */
const HIGH_BIT = 1n << 40n;
const [O_CREAT, O_WRONLY, O_TMPFILE] = [0o100, 1, 0o20200000];
const AT_FDCWD = -100;
const SIGCHLD = 17;
const BTRFS_IOC_SNAP_CREATE = 0x50009401;
const FICLONE = 0x40049409;
const TIOCGWINSZ = 0x5413;
const [AF_PACKET, AF_ALG, AF_VSOCK] = [17, 38, 40];
const SOCK_STREAM = 1;
const IPPROTO_SCTP = 132;

/** Calls that cover each rule of the filter and the ways around it. The file `f` exists and belongs to the program. */
export const CALLS: readonly CallCase[] = [
  { call: 'keyctl', args: [0, -3, 0], answer: 'EPERM' },
  { call: 'add_key', args: ['user', 'name', 'payload', 7, -3], answer: 'EPERM' },
  { call: 'request_key', args: ['user', 'no-such-key', 0, 0], answer: 'EPERM' },

  { call: 'io_uring_setup', args: [4, '\0'.repeat(120)], answer: 'ENOSYS' },
  { call: 'io_uring_enter', args: [BAD_FD, 0, 0, 0, 0, 0], answer: 'ENOSYS' },
  { call: 'io_uring_register', args: [BAD_FD, 0, 0, 0], answer: 'ENOSYS' },
  { call: 'bpf', args: [0, 0, 0], answer: 'EPERM', withoutFilter: SYSCTL },
  { call: 'perf_event_open', args: [BAD_POINTER, 0, -1, -1, 0xffff], answer: 'EPERM', withoutFilter: SYSCTL },
  { call: 'userfaultfd', args: [1], answer: 'EPERM' },

  { call: 'ptrace', args: [0, 0, 0, 0], answer: 'EPERM' },
  { call: 'process_vm_readv', args: [NO_PROCESS, 0, 0, 0, 0, 1], answer: 'EPERM' },
  { call: 'process_vm_writev', args: [NO_PROCESS, 0, 0, 0, 0, 1], answer: 'EPERM' },
  { call: 'pidfd_getfd', args: [BAD_FD, 0, 0], answer: 'EPERM' },
  { call: 'kcmp', args: [NO_PROCESS, NO_PROCESS, 0, 0, 0], answer: 'EPERM' },
  { call: 'move_pages', args: [0, 0, 0, 0, 0, 0xff], answer: 'EPERM' },
  { call: 'migrate_pages', args: [NO_PROCESS, 0, 0, 0], answer: 'EPERM' },

  { call: 'mount', args: [BAD_POINTER, BAD_POINTER, BAD_POINTER, 0, 0], answer: 'EPERM' },
  { call: 'umount2', args: [BAD_POINTER, 0x1000], answer: 'EPERM' },
  { call: 'pivot_root', args: ['/', '/'], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'chroot', args: [BAD_POINTER], answer: 'EPERM' },
  { call: 'move_mount', args: [BAD_FD, '', BAD_FD, '', 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'open_tree', args: [AT_FDCWD, '/', 0], answer: 'EPERM' },
  { call: 'open_tree_attr', args: [AT_FDCWD, '/', 0, 0, 0], answer: 'EPERM' },
  { call: 'mount_setattr', args: [AT_FDCWD, '/', 0, 0, 0], answer: 'EPERM' },
  { call: 'fsopen', args: ['tmpfs', 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'fsconfig', args: [BAD_FD, 6, 0, 0, 0], answer: 'EPERM' },
  { call: 'fsmount', args: [BAD_FD, 0, 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'fspick', args: [AT_FDCWD, '/', 0], answer: 'EPERM', withoutFilter: CAPABILITY },

  { call: 'setns', args: [BAD_FD, 0], answer: 'EPERM' },
  { call: 'unshare', args: [0x10000000], answer: 'EPERM' },
  { call: 'unshare', args: [0x80], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'unshare', args: [HIGH_BIT], answer: 'EPERM' },
  { call: 'unshare', args: [0x400] },
  { call: 'clone', args: [0x10000000 | SIGCHLD, 0, 0, 0, 0], answer: 'EPERM' },
  { call: 'clone', args: [HIGH_BIT | 0x10000000n | BigInt(SIGCHLD), 0, 0, 0, 0], answer: 'EPERM' },
  { call: 'clone', args: [0x40020000 | SIGCHLD, 0, 0, 0, 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'clone', args: [SIGCHLD, 0, 0, 0, 0] },
  { call: 'clone3', args: [BAD_POINTER, 88], answer: 'ENOSYS' },

  { call: 'chmod', args: ['f', 0o4755], answer: 'EPERM' },
  { call: 'chmod', args: ['f', 0o2755], answer: 'EPERM' },
  { call: 'chmod', args: ['f', HIGH_BIT | 0o4755n], answer: 'EPERM' },
  { call: 'chmod', args: ['f', 0x10000 | 0o4755], answer: 'EPERM' },
  { call: 'chmod', args: ['f', 0o1777] },
  { call: 'fchmod', args: [BAD_FD, 0o4755], answer: 'EPERM' },
  { call: 'fchmodat', args: [AT_FDCWD, 'f', 0o4755], answer: 'EPERM' },
  { call: 'fchmodat', args: [AT_FDCWD, 'f', 0o755] },
  { call: 'fchmodat2', args: [AT_FDCWD, 'f', 0o2755, 0], answer: 'EPERM' },
  { call: 'open', args: ['new', O_CREAT | O_WRONLY, 0o4755], answer: 'EPERM' },
  { call: 'open', args: ['.', O_TMPFILE | O_WRONLY, 0o4755], answer: 'EPERM' },
  { call: 'open', args: ['f', 0, 0o4755] },
  { call: 'openat', args: [AT_FDCWD, 'new', O_CREAT | O_WRONLY, 0o6755], answer: 'EPERM' },
  { call: 'openat', args: [AT_FDCWD, 'new', HIGH_BIT | BigInt(O_CREAT | O_WRONLY), 0o4755], answer: 'EPERM' },
  { call: 'openat', args: [AT_FDCWD, 'new', O_CREAT | O_WRONLY, 0o644] },
  { call: 'openat2', args: [AT_FDCWD, 'f', BAD_POINTER, 24], answer: 'ENOSYS' },
  { call: 'creat', args: ['new', 0o4755], answer: 'EPERM' },
  { call: 'mknod', args: ['new', 0o104755, 0], answer: 'EPERM' },
  { call: 'mknod', args: ['whiteout', 0o20600, 0], answer: 'EPERM' },
  { call: 'mknod', args: ['disk', 0o60600, 0x700], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'mknod', args: ['fifo', 0o10600, 0] },
  { call: 'mknodat', args: [AT_FDCWD, 'new', 0o104755, 0], answer: 'EPERM' },
  { call: 'mknodat', args: [AT_FDCWD, 'whiteout', 0o20600, 0], answer: 'EPERM' },
  { call: 'mknodat', args: [AT_FDCWD, 'socket', 0o140600, 0] },

  { call: 'ioctl', args: [BAD_FD, 0x5412, 0], answer: 'EPERM' },
  { call: 'ioctl', args: [BAD_FD, HIGH_BIT | 0x5412n, 0], answer: 'EPERM' },
  { call: 'ioctl', args: [BAD_FD, 0x541c, 0], answer: 'EPERM' },
  { call: 'ioctl', args: [BAD_FD, 0x5423, 0], answer: 'EPERM' },
  { call: 'ioctl', args: [BAD_FD, BTRFS_IOC_SNAP_CREATE, 0], answer: 'ENOTTY' },
  { call: 'ioctl', args: [BAD_FD, FICLONE, 0] },
  { call: 'ioctl', args: [BAD_FD, TIOCGWINSZ, 0] },

  { call: 'socket', args: [AF_VSOCK, SOCK_STREAM, 0], answer: 'EAFNOSUPPORT', withoutFilter: SYSCTL },
  { call: 'socket', args: [AF_PACKET, 3, 0], answer: 'EAFNOSUPPORT' },
  { call: 'socket', args: [AF_ALG, 5, 0], answer: 'EAFNOSUPPORT', withoutFilter: SYSCTL },
  { call: 'socket', args: [HIGH_BIT | BigInt(AF_PACKET), 3, 0], answer: 'EAFNOSUPPORT' },
  { call: 'socket', args: [2, SOCK_STREAM, IPPROTO_SCTP], answer: 'EPROTONOSUPPORT', withoutFilter: SYSCTL },
  { call: 'socket', args: [10, SOCK_STREAM, 99], answer: 'EPROTONOSUPPORT', withoutFilter: SYSCTL },
  { call: 'socket', args: [16, 3, 16], answer: 'EPROTONOSUPPORT' },
  { call: 'socket', args: [1, SOCK_STREAM, 0] },
  { call: 'socket', args: [2, SOCK_STREAM, 6] },
  { call: 'socket', args: [10, 2, 17] },
  { call: 'socket', args: [16, 3, 0] },
  { call: 'socketpair', args: [30, SOCK_STREAM, 0, BAD_POINTER], answer: 'EAFNOSUPPORT', withoutFilter: SYSCTL },
  { call: 'socketpair', args: [1, SOCK_STREAM, 0, '\0'.repeat(8)] },

  { call: 'personality', args: [0x0100000], answer: 'EPERM' },
  { call: 'personality', args: [HIGH_BIT | 0x0400000n], answer: 'EPERM' },
  { call: 'personality', args: [0x0040000] },
  { call: 'personality', args: [0xffffffff] },

  { call: 'open_by_handle_at', args: [BAD_FD, BAD_POINTER, 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'lookup_dcookie', args: [0, 0, 0], answer: 'EPERM' },
  { call: 'fanotify_init', args: [0x200, 0], answer: 'EPERM' },
  { call: 'kexec_load', args: [0, 0, 0, 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'kexec_file_load', args: [BAD_FD, BAD_FD, 0, 0, 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'init_module', args: [0, 0, ''], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'finit_module', args: [BAD_FD, '', 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'delete_module', args: ['no-such-module', 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'reboot', args: [0, 0, 0, 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'swapon', args: [BAD_POINTER, 0], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'swapoff', args: [BAD_POINTER], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'acct', args: [BAD_POINTER], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'quotactl', args: [0, BAD_POINTER, 0, 0], answer: 'EPERM' },
  { call: 'quotactl_fd', args: [BAD_FD, 0, 0, 0], answer: 'EPERM' },
  { call: 'settimeofday', args: [BAD_POINTER, 0], answer: 'EPERM' },
  { call: 'clock_settime', args: [0, BAD_POINTER], answer: 'EPERM' },
  { call: 'syslog', args: [3, 0, 0], answer: 'EPERM', withoutFilter: SYSCTL },
  { call: 'vhangup', args: [], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'iopl', args: [4], answer: 'EPERM' },
  { call: 'ioperm', args: [0, 1, 1], answer: 'EPERM', withoutFilter: CAPABILITY },
  { call: 'modify_ldt', args: [0, '\0'.repeat(16), 16], answer: 'EPERM' },
  { call: 'uselib', args: [BAD_POINTER], answer: 'EPERM' },
];

/** Returns a perl program that makes each call in a separate process, and prints its index and its errno, or 0. */
export function perlProgram(cases: readonly CallCase[], architecture: Architecture): string {
  const attempts = cases.map(({ call, args }, index) => {
    const number = numberOf(call, architecture);
    return number === null ? '' : `attempt(${[index, number, ...args.map(literal)].join(', ')});\n`;
  });
  return `
use POSIX ();
$| = 1;
sub attempt {
  my ($index, $number, @args) = @_;
  my $child = fork;
  if ($child) { waitpid $child, 0; return }
  my $self = $$;
  my $error = syscall($number, @args) == -1 ? $! + 0 : 0;
  # A process that clone created also reaches this line.
  print "$index $error\\n" if syscall(${architecture === 'x64' ? 39 : 172}) == $self;
  POSIX::_exit(0);
}
open my $file, '>', 'f';
close $file;
${attempts.join('')}`;
}

function literal(argument: Argument): string {
  return typeof argument === 'string' ? `"${argument.replaceAll('\0', '\\0')}"` : String(argument);
}
