import { readFile } from 'node:fs/promises';

const KIB = 1024;

/**
 * Measures the memory of a process and its descendants, in bytes, as proportional set size (PSS of
 * https://www.kernel.org/doc/html/latest/filesystems/proc.html). 0 without /proc.
 */
export async function memoryOf(pid: number): Promise<number> {
  const [own, children] = await Promise.all([read(pid, 'smaps_rollup'), read(pid, `task/${pid}/children`)]);
  const kib = Number(/^Pss:\s+(\d+) kB$/m.exec(own)?.[1] ?? 0);
  const others = await Promise.all(children.split(' ').filter(Boolean).map(Number).map(memoryOf));
  return others.reduce((sum, bytes) => sum + bytes, kib * KIB);
}

async function read(pid: number, file: string): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // It has just exited.
    return '';
  }
}
