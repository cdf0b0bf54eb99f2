import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Makes a git in a folder of its own that runs a line of shell before the real one.
 * @returns the PATH on which it is found
 */
export async function wrapGit(folder: string, line: string): Promise<string> {
  const git = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'git'), `#!/bin/sh\n${line}\nexec '${git}' "$@"\n`, { mode: 0o755 });
  return `${folder}:${process.env.PATH}`;
}
