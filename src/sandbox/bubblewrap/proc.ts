import { existsSync } from 'node:fs';

/**
 * Files of /proc that tell everybody about the kernel and the whole machine: keys of other users by name, addresses that exploits need,
 * what other sandboxes are doing. Those for root only need no cover, because no agent is root of the host.
 */
const COVERED = ['interrupts', 'kallsyms', 'key-users', 'keys', 'latency_stats', 'sched_debug'];

/**
 * Returns the options of bubblewrap for a /proc of the sandbox's own processes that nothing can be written in.
 *
 * The kernel lets root of the host write much of /proc without any capability, such as /proc/sys and /proc/sysrq-trigger, and bubblewrap
 * leaves /proc/sys writable. All of /proc is read-only, so no list has to name each such file.
 */
export function procMount(): string[] {
  // Nothing can be created in /proc, so a file that this kernel lacks cannot be covered.
  const covered = COVERED.map((name) => `/proc/${name}`).filter((path) => existsSync(path));
  return [
    ...['--proc', '/proc'],
    ...covered.flatMap((path) => ['--ro-bind', '/dev/null', path]),
    ...['--remount-ro', '/proc'],
  ];
}
