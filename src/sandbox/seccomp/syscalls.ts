/**
 * Numbers of the system calls in the rules, on x86-64 and on arm64; null where the architecture lacks the call.
 * Sources: arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl (before 6.11: include/uapi/asm-generic/unistd.h) of Linux.
 */
export const SYSCALLS = {
  acct: [163, 89],
  add_key: [248, 217],
  bpf: [321, 280],
  chmod: [90, null],
  chroot: [161, 51],
  clock_settime: [227, 112],
  clone: [56, 220],
  clone3: [435, 435],
  creat: [85, null],
  delete_module: [176, 106],
  fanotify_init: [300, 262],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchmodat2: [452, 452],
  finit_module: [313, 273],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fsopen: [430, 430],
  fspick: [433, 433],
  init_module: [175, 105],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  io_uring_setup: [425, 425],
  ioctl: [16, 29],
  ioperm: [173, null],
  iopl: [172, null],
  kcmp: [312, 272],
  kexec_file_load: [320, 294],
  kexec_load: [246, 104],
  keyctl: [250, 219],
  lookup_dcookie: [212, 18],
  migrate_pages: [256, 238],
  mknod: [133, null],
  mknodat: [259, 33],
  modify_ldt: [154, null],
  mount: [165, 40],
  mount_setattr: [442, 442],
  move_mount: [429, 429],
  move_pages: [279, 239],
  open: [2, null],
  open_by_handle_at: [304, 265],
  open_tree: [428, 428],
  open_tree_attr: [467, 467],
  openat: [257, 56],
  openat2: [437, 437],
  perf_event_open: [298, 241],
  personality: [135, 92],
  pidfd_getfd: [438, 438],
  pivot_root: [155, 41],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  ptrace: [101, 117],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  reboot: [169, 142],
  request_key: [249, 218],
  setns: [308, 268],
  settimeofday: [164, 170],
  socket: [41, 198],
  socketpair: [53, 199],
  swapoff: [168, 225],
  swapon: [167, 224],
  syslog: [103, 116],
  umount2: [166, 39],
  unshare: [272, 97],
  uselib: [134, null],
  userfaultfd: [323, 282],
  vhangup: [153, 58],
} as const;

/**
 * Newest call that the rules consider, on both architectures: rseq_slice_yield of Linux 7.0. Review each newer call before you
 * raise it.
 */
export const NEWEST_CALL = 471;

/** AUDIT_ARCH values of include/uapi/linux/audit.h: ELF machine number, 64-bit flag, little-endian flag. */
export const ARCHITECTURES = {
  x64: { file: 'x86-64.bpf', audit: 0xc000003e },
  arm64: { file: 'arm64.bpf', audit: 0xc00000b7 },
} as const;

export type Syscall = keyof typeof SYSCALLS;
export type Architecture = keyof typeof ARCHITECTURES;

/** Returns whether a value of `process.arch` has a filter. */
export function isArchitecture(name: string): name is Architecture {
  return name in ARCHITECTURES;
}

/** Returns the number of a call, or null when the architecture has none. */
export function numberOf(call: Syscall, architecture: Architecture): number | null {
  return SYSCALLS[call][architecture === 'x64' ? 0 : 1];
}
