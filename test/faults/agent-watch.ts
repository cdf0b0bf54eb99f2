import { readdirSync, readFileSync } from 'node:fs';
import type { FaultWorld } from './world.ts';

const POLL_INTERVAL_MS = 300;

/** Polls for tickets with two agents at once; a violation needs two samples in a row. */
export function watchAgents(world: FaultWorld) {
  const problems: string[] = [];
  let doubled = new Set<string>();
  const timer = setInterval(() => {
    const counts = new Map<string, number>();
    for (const ticketId of agentsIn(world)) counts.set(ticketId, (counts.get(ticketId) ?? 0) + 1);
    const now = new Set([...counts].filter(([, count]) => count > 1).map(([ticketId]) => ticketId));
    for (const ticketId of now) if (doubled.has(ticketId)) problems.push(`${ticketId} has two agents at once`);
    doubled = now;
  }, POLL_INTERVAL_MS);
  return {
    stop(): string[] {
      clearInterval(timer);
      return problems;
    },
  };
}

/** Lists the ticket of each running sandbox. It skips the inner process, a child of the outer with the same command line. */
function agentsIn(world: FaultWorld): string[] {
  const workspaces = world.path('tickets/');
  const sandboxes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ pid, args: read(`/proc/${pid}/cmdline`).split('\0') }))
    .filter(({ args }) => /\bbwrap$/.test(args[0] ?? ''));
  const pids = new Set(sandboxes.map(({ pid }) => pid));
  return sandboxes
    .filter(({ pid }) => !pids.has(/^PPid:\s(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? ''))
    .flatMap(
      ({ args }) =>
        args
          .find((arg) => arg.startsWith(workspaces))
          ?.slice(workspaces.length)
          .split('/')[0] ?? [],
    );
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
