import { existsSync, readFileSync } from 'node:fs';

const MIB = 1024 * 1024;
const PRLIMIT = '/usr/bin/prlimit';

/** Processes and threads of a sandbox. */
export const MAX_PROCESSES = 1024;

/**
 * What each process of a sandbox may have (getrlimit(2)); only the number of processes counts for all of them together. No
 * process may raise a hard limit, so that of the server holds where it is lower; below `least`, no agent works.
 */
const LIMITS = [
  { option: 'nproc', name: 'Max processes', noun: 'processes', wanted: MAX_PROCESSES, least: 128, unit: 1 },
  { option: 'nofile', name: 'Max open files', noun: 'open files', wanted: 4096, least: 256, unit: 1 },
  { option: 'fsize', name: 'Max file size', noun: 'MiB of a file', wanted: 1024 * MIB, least: 64 * MIB, unit: MIB },
  { option: 'data', name: 'Max data size', noun: 'MiB of data', wanted: 4096 * MIB, least: 1024 * MIB, unit: MIB },
  { option: 'core', name: 'Max core file size', noun: 'MiB of a core file', wanted: 0, least: 0, unit: MIB },
] as const;

type Limit = (typeof LIMITS)[number];

/** A hard limit of the server that is lower than what agents are meant to have. */
export type LowLimit = { detail: string; remedy: string; tooLow: boolean };

/**
 * Returns the command that limits an agent that is run after it; empty where there is no prlimit(1), which the self-test reports.
 * @param dataMib limit of the data of each process, where nothing limits that of all
 */
export function limitAgent(dataMib: number | undefined): string[] {
  const limits = Object.fromEntries(LIMITS.map(({ option, wanted }) => [option, wanted]));
  const data = dataMib === undefined ? Number.POSITIVE_INFINITY : dataMib * MIB;
  return existsSync(PRLIMIT) ? limitCommand({ ...limits, data }) : [];
}

/** Returns the command that limits what is run after it to these values of setrlimit(2), or the hard limits of the server. */
export function limitCommand(limits: Readonly<Record<string, number>>): string[] {
  const hard = readHardLimits();
  const options = Object.entries(limits).flatMap(([option, wanted]) => {
    const known = LIMITS.find((limit) => limit.option === option);
    const value = known ? Math.min(wanted, hard(known)) : wanted;
    return Number.isFinite(value) ? [`--${option}=${value}`] : [];
  });
  return [PRLIMIT, ...options, '--'];
}

/** Hard limits of the server that agents feel, those that keep them from working first. */
export function lowLimits(): LowLimit[] {
  const hard = readHardLimits();
  return LIMITS.filter((limit) => hard(limit) < limit.wanted)
    .map((limit) => ({ limit, has: hard(limit), tooLow: hard(limit) < limit.least }))
    .sort((a, b) => Number(b.tooLow) - Number(a.tooLow))
    .map(({ limit, has, tooLow }) => ({ ...describe(limit, has), tooLow }));
}

function describe({ option, noun, wanted, least, unit }: Limit, has: number): Omit<LowLimit, 'tooLow'> {
  const figure = (value: number) => (value / unit).toLocaleString('en', { maximumFractionDigits: 0 });
  return {
    detail: `The hard limit of the server is ${figure(has)} ${noun}; agents need ${figure(least)}, and get up to ${figure(wanted)}.`,
    remedy: `Start the server with a hard limit of ${wanted} or more for ${option}: Limit${option.toUpperCase()}= in systemd, ulimits in Docker Compose, ulimit -H in a shell.`,
  };
}

/** The hard limits of this process; without /proc, there are none. */
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
