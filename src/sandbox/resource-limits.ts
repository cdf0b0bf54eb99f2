import { existsSync, readFileSync } from 'node:fs';

const MIB = 1024 * 1024;
const PRLIMIT = '/usr/bin/prlimit';

/** Limit for processes and threads of a sandbox. */
export const MAX_PROCESSES = 1024;

/**
 * Limits of each process of a sandbox, getrlimit(2). Only the number of processes applies to the sandbox as a whole.
 * Lower hard limits of the server apply instead, because processes cannot raise them. Agents do not work below `min`.
 */
const LIMITS = [
  { option: 'nproc', name: 'Max processes', noun: 'processes', wanted: MAX_PROCESSES, min: 128, unit: 1 },
  { option: 'nofile', name: 'Max open files', noun: 'open files', wanted: 4096, min: 256, unit: 1 },
  { option: 'fsize', name: 'Max file size', noun: 'MiB of a file', wanted: 1024 * MIB, min: 64 * MIB, unit: MIB },
  { option: 'data', name: 'Max data size', noun: 'MiB of data', wanted: 4096 * MIB, min: 1024 * MIB, unit: MIB },
  { option: 'core', name: 'Max core file size', noun: 'MiB of a core file', wanted: 0, min: 0, unit: MIB },
] as const;

type Limit = (typeof LIMITS)[number];

/** A hard limit of the server below the intended limit of agents. */
export type LowLimit = { detail: string; remedy: string; tooLow: boolean };

/**
 * Returns the command prefix that limits an agent. It is empty without prlimit(1), which the self-test reports.
 * @param dataMib limit in MiB for the data of each process; undefined when a cgroup limits the sandbox
 */
export function limitAgent(dataMib: number | undefined): string[] {
  const limits = Object.fromEntries(LIMITS.map(({ option, wanted }) => [option, wanted]));
  const data = dataMib === undefined ? Number.POSITIVE_INFINITY : dataMib * MIB;
  return existsSync(PRLIMIT) ? limitCommand({ ...limits, data }) : [];
}

/** Returns the command prefix that sets limits of setrlimit(2), or the hard limits of the server where they are lower. */
export function limitCommand(limits: Readonly<Record<string, number>>): string[] {
  const hard = readHardLimits();
  const options = Object.entries(limits).flatMap(([option, wanted]) => {
    const known = LIMITS.find((limit) => limit.option === option);
    const value = known ? Math.min(wanted, hard(known)) : wanted;
    return Number.isFinite(value) ? [`--${option}=${value}`] : [];
  });
  return [PRLIMIT, ...options, '--'];
}

/** Lists the hard limits of the server that restrict agents, too low ones first. */
export function lowLimits(): LowLimit[] {
  const hard = readHardLimits();
  return LIMITS.filter((limit) => hard(limit) < limit.wanted)
    .map((limit) => ({ limit, has: hard(limit), tooLow: hard(limit) < limit.min }))
    .sort((a, b) => Number(b.tooLow) - Number(a.tooLow))
    .map(({ limit, has, tooLow }) => ({ ...describe(limit, has), tooLow }));
}

function describe({ option, noun, wanted, min, unit }: Limit, has: number): Omit<LowLimit, 'tooLow'> {
  const figure = (value: number) => (value / unit).toLocaleString('en', { maximumFractionDigits: 0 });
  return {
    detail: `The hard limit of the server is ${figure(has)} ${noun}; agents need ${figure(min)} and use up to ${figure(wanted)}.`,
    remedy: `Raise the hard limit ${option} of the server to ${wanted} or more: Limit${option.toUpperCase()}= in systemd, ulimits in Docker Compose, ulimit -H in a shell.`,
  };
}

/** Reads the hard limits of this process; infinite without /proc. */
function readHardLimits(): (limit: Limit) => number {
  const text = existsSync('/proc/self/limits') ? readFileSync('/proc/self/limits', 'utf8') : '';
  const lines = text.split('\n');
  return ({ name }) => {
    const [, hard] =
      lines
        .find((line) => line.startsWith(name))
        ?.slice(name.length)
        .trim()
        .split(/\s+/) ?? [];
    return hard === undefined || hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
  };
}
