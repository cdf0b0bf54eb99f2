import { existsSync } from 'node:fs';

/**
 * World-readable files of /proc about the whole machine: names of other users' keys, kernel addresses, activity of other sandboxes.
 * Files for root only are not listed, because no agent is root of the host.
 */
const COVERED = ['interrupts', 'kallsyms', 'key-users', 'keys', 'latency_stats', 'sched_debug'];

/**
 * Returns bubblewrap's options for a read-only /proc that shows the processes of the sandbox.
 *
 * The kernel lets uid 0 of the host write /proc/sys and /proc/sysrq-trigger without any capability, and bubblewrap leaves /proc/sys
 * writable. Read-only /proc closes all such files without a list of them.
 */
export function procMount(): string[] {
  // A mount point cannot be created in /proc, so files that this kernel lacks are skipped.
  const covered = COVERED.map((name) => `/proc/${name}`).filter((path) => existsSync(path));
  return [
    ...['--proc', '/proc'],
    ...covered.flatMap((path) => ['--ro-bind', '/dev/null', path]),
    ...['--remount-ro', '/proc'],
  ];
}
