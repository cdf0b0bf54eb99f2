import { randomUUID } from 'node:crypto';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Whether names that differ by case only are one. @param folder that may be written, and has no such files */
export async function probeCase(folder: string): Promise<boolean> {
  const name = randomUUID();
  const probe = join(folder, `${name}-Case`);
  await writeFile(probe, '');
  try {
    await stat(join(folder, `${name}-cASE`));
    return true;
  } catch {
    return false;
  } finally {
    await rm(probe);
  }
}
