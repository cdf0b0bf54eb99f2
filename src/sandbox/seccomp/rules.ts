import type { Syscall } from './syscalls.ts';

/** The same on x86-64 and arm64: include/uapi/asm-generic/errno-base.h and errno.h of Linux. */
export const ERRNO = { EPERM: 1, ENOTTY: 25, ENOSYS: 38, EPROTONOSUPPORT: 93, EAFNOSUPPORT: 97 } as const;

/**
 * A condition on an argument, counted from 0. All but `outside` compare the lower 32 bits, because the kernel truncates these
 * arguments to 32 bits or fewer. A comparison of 64 bits could be bypassed by a higher bit (CVE-2019-10063).
 */
export type Condition =
  /** At least one of these bits is set. */
  | { argument: number; bits: number }
  /** At least one of the other bits is set, of all 64. */
  | { argument: number; outside: number }
  /** After masking, the value is one of these. */
  | { argument: number; mask?: number; is: readonly number[] }
  /** After masking, the value is none of these. */
  | { argument: number; mask?: number; isNot: readonly number[] };

/** The answer to calls when all conditions hold. The first matching rule of a call decides. */
export type Rule = {
  calls: readonly Syscall[];
  when?: readonly Condition[];
  answer: keyof typeof ERRNO;
  why: string;
};

const SET_ID_BITS = 0o6000;
const FILE_TYPE = 0o170000;
const DEVICES = [0o020000, 0o060000];
/** O_CREAT, and O_TMPFILE without O_DIRECTORY. open(2) ignores its mode without them. */
const CREATES = 0o100 | 0o20000000;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. NEWTIME is a signal number in clone(2). */
const NAMESPACES = 0x7e020000;
/** CLONE_VM, FS, FILES, SIGHAND, THREAD and SYSVSEM: flags of unshare(2) that affect only the calling process. */
const OWN_PROCESS = 0x00050f00;

const [TIOCSTI, TIOCLINUX, TIOCSETD] = [0x5412, 0x541c, 0x5423];
const IOCTL_TYPE = 0xff00;
const BTRFS = 0x9400;
/** FICLONE, FICLONERANGE and FIDEDUPERANGE, which other file systems also support. */
const CLONES_OF_FILES = [9, 13, 54];

/** PER_LINUX and PER_LINUX32, alone or with UNAME26 or ADDR_NO_RANDOMIZE; 0xffffffff queries the current one. */
const PERSONALITIES = [0, 0x8, 0x20000, 0x20008, 0x40000, 0x40008, 0xffffffff];

const [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK] = [1, 2, 10, 16];
/** Default, ICMP, TCP, UDP, ICMPv6 and MPTCP. */
const INTERNET_PROTOCOLS = [0, 1, 6, 17, 58, 262];
const NETLINK_ROUTE = 0;

/**
 * System calls that a sandbox denies. All others are allowed, because any program of a repository has to run. Most calls here
 * need a capability that no sandboxed process has; denying them reduces the attack surface of the kernel.
 */
export const RULES: readonly Rule[] = [
  {
    calls: ['open'],
    when: [
      { argument: 1, bits: CREATES },
      { argument: 2, bits: SET_ID_BITS },
    ],
    answer: 'EPERM',
    why: 'a file with a set-id bit gives the privileges of its owner to every user of the machine',
  },
  {
    calls: ['openat'],
    when: [
      { argument: 2, bits: CREATES },
      { argument: 3, bits: SET_ID_BITS },
    ],
    answer: 'EPERM',
    why: 'like open',
  },
  {
    calls: ['openat2'],
    answer: 'ENOSYS',
    why: 'a filter cannot read its mode through a pointer; programs fall back to openat, as on Linux before 5.6',
  },
  {
    calls: ['creat', 'chmod', 'fchmod', 'mknod'],
    when: [{ argument: 1, bits: SET_ID_BITS }],
    answer: 'EPERM',
    why: 'like open',
  },
  {
    calls: ['fchmodat', 'fchmodat2', 'mknodat'],
    when: [{ argument: 2, bits: SET_ID_BITS }],
    answer: 'EPERM',
    why: 'like open',
  },
  {
    calls: ['mknod'],
    when: [{ argument: 1, mask: FILE_TYPE, is: DEVICES }],
    answer: 'EPERM',
    why: 'a device node gives access to hardware; FIFOs and sockets are allowed',
  },
  {
    calls: ['mknodat'],
    when: [{ argument: 2, mask: FILE_TYPE, is: DEVICES }],
    answer: 'EPERM',
    why: 'like mknod',
  },
  {
    calls: ['ioctl'],
    when: [{ argument: 1, is: [TIOCSTI, TIOCLINUX, TIOCSETD] }],
    answer: 'EPERM',
    why: 'TIOCSTI and TIOCLINUX inject input into a terminal; line disciplines load kernel modules',
  },
  {
    calls: ['ioctl'],
    when: [
      { argument: 1, mask: IOCTL_TYPE, is: [BTRFS] },
      { argument: 1, mask: 0xff, isNot: CLONES_OF_FILES },
    ],
    answer: 'ENOTTY',
    why: 'a snapshot contains the whole subvolume, including files that are not mounted; ENOTTY is the answer of other file systems',
  },
  {
    calls: ['clone'],
    when: [{ argument: 0, bits: NAMESPACES }],
    answer: 'EPERM',
    why: 'a process has all capabilities in a new user namespace, which exposes much more kernel code',
  },
  {
    calls: ['clone3'],
    answer: 'ENOSYS',
    why: 'a filter cannot read its flags through a pointer; C libraries fall back to clone, as on Linux before 5.3',
  },
  { calls: ['unshare'], when: [{ argument: 0, outside: OWN_PROCESS }], answer: 'EPERM', why: 'like clone' },
  { calls: ['setns'], answer: 'EPERM', why: 'like clone' },
  {
    calls: ['socket', 'socketpair'],
    when: [{ argument: 0, isNot: [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK] }],
    answer: 'EAFNOSUPPORT',
    why: 'AF_VSOCK reaches the host of a virtual machine past network namespaces; other families load kernel modules',
  },
  {
    calls: ['socket'],
    when: [
      { argument: 0, is: [AF_INET, AF_INET6] },
      { argument: 2, isNot: INTERNET_PROTOCOLS },
    ],
    answer: 'EPROTONOSUPPORT',
    why: 'SCTP, DCCP and others load kernel modules',
  },
  {
    calls: ['socket'],
    when: [
      { argument: 0, is: [AF_NETLINK] },
      { argument: 2, isNot: [NETLINK_ROUTE] },
    ],
    answer: 'EPROTONOSUPPORT',
    why: 'getifaddrs(3) needs addresses and routes; the other protocols configure the kernel',
  },
  {
    calls: ['personality'],
    when: [{ argument: 0, isNot: PERSONALITIES }],
    answer: 'EPERM',
    why: 'legacy memory layouts help exploits; setarch, debuggers and ThreadSanitizer need the allowed ones',
  },
  {
    calls: ['keyctl', 'add_key', 'request_key'],
    answer: 'EPERM',
    why: 'keyrings have no namespace: all processes of one user share keys, across sandboxes and with the server',
  },
  {
    calls: ['io_uring_setup', 'io_uring_enter', 'io_uring_register'],
    answer: 'ENOSYS',
    why: 'its operations bypass the filter; libuv and others fall back to ordinary calls',
  },
  {
    calls: ['bpf', 'perf_event_open', 'userfaultfd'],
    answer: 'EPERM',
    why: 'exploits use kernel programs, performance counters, and pauses of page faults in the kernel',
  },
  {
    calls: ['ptrace', 'process_vm_readv', 'process_vm_writev', 'pidfd_getfd', 'kcmp', 'move_pages', 'migrate_pages'],
    answer: 'EPERM',
    why: 'a command of the agent could read or control the agent, and impersonate it to the server',
  },
  {
    calls: ['mount', 'umount2', 'pivot_root', 'chroot', 'move_mount', 'open_tree', 'open_tree_attr', 'mount_setattr'],
    answer: 'EPERM',
    why: 'mounts and their read-only flags are the isolation',
  },
  {
    calls: ['fsopen', 'fsconfig', 'fsmount', 'fspick'],
    answer: 'EPERM',
    why: 'like mount',
  },
  {
    calls: ['open_by_handle_at', 'lookup_dcookie'],
    answer: 'EPERM',
    why: 'they find files by handle or number, outside the mounts',
  },
  {
    calls: ['fanotify_init'],
    answer: 'EPERM',
    why: 'it watches whole file systems; inotify is allowed',
  },
  {
    calls: ['kexec_load', 'kexec_file_load', 'init_module', 'finit_module', 'delete_module', 'reboot'],
    answer: 'EPERM',
    why: 'they replace, extend or restart the kernel',
  },
  {
    calls: [
      'swapon',
      'swapoff',
      'acct',
      'quotactl',
      'quotactl_fd',
      'settimeofday',
      'clock_settime',
      'syslog',
      'vhangup',
    ],
    answer: 'EPERM',
    why: 'they configure the machine, its clock, log and terminals',
  },
  { calls: ['iopl', 'ioperm', 'modify_ldt', 'uselib'], answer: 'EPERM', why: 'I/O ports and legacy x86 programs' },
];
