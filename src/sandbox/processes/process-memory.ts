import { readFile } from 'node:fs/promises';

const KIB = 1024;

/**
 * Memory of a process and all that it started, in bytes: what each has for itself and its share of what it has in common
 * with others (PSS of https://www.kernel.org/doc/html/latest/filesystems/proc.html). 0 where there is no /proc.
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
    // It has just ended.
    return '';
  }
}
