import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { AppError } from '../../errors/app-error.ts';
import { HASHES } from './hashes.ts';
import { ARCHITECTURES, isArchitecture } from './syscalls.ts';

/**
 * Reads the seccomp filter of an architecture in the format of `bwrap --seccomp`.
 * @throws AppError `agent_unavailable` when it is missing, or the file differs from the shipped one
 */
export async function readSeccompFilter(architecture: string = process.arch): Promise<Uint8Array> {
  if (!isArchitecture(architecture)) {
    throw new AppError('agent_unavailable', `There is no seccomp filter for the architecture ${architecture}.`, {
      remedy: 'Run the server on x86-64 or arm64, or set SANDBOX=none for development on this machine only.',
    });
  }
  const file = fileURLToPath(new URL(ARCHITECTURES[architecture].file, import.meta.url));
  const content = await readFile(file).catch(() => undefined);
  const found = content && createHash('sha256').update(content).digest('hex');
  if (content === undefined || found !== HASHES[architecture]) {
    throw new AppError(
      'agent_unavailable',
      `The seccomp filter ${file} is ${found ? 'not the original' : 'missing'}.`,
      {
        remedy: 'Install the server again; it starts no agent without this filter.',
      },
    );
  }
  return content;
}
