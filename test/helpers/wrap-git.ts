import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Writes a `git` into a folder that runs a line of shell before the real git.
 * @returns a PATH that starts with the folder
 */
export async function wrapGit(folder: string, line: string): Promise<string> {
  const git = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'git'), `#!/bin/sh\n${line}\nexec '${git}' "$@"\n`, { mode: 0o755 });
  return `${folder}:${process.env.PATH}`;
}
