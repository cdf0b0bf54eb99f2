import { AppError } from '../errors/app-error.ts';
import type { Confine } from './confined/confine.ts';
import { runProgram } from './confined/programs.ts';
import type { Identities } from './identity.ts';

const TIMEOUT_MS = 60_000;
const LIMITS = { cpuSeconds: 30, memoryMib: 512, fileMib: 1 };

/**
 * Assigns the content of a folder to the owner of the folder, when the server is root.
 * @throws AppError `agent_unavailable` when chown fails
 */
export async function unifyOwner(confine: Confine, identities: Identities, folder: string): Promise<void> {
  const uid = identities.of(folder);
  if (uid === undefined) return;
  const argv = ['chown', '-R', '-h', '-P', `${uid}:${uid}`, '--', folder] as const;
  const program = { argv, user: 'file-admin', readable: [], writable: [folder], limits: LIMITS } as const;
  const { ended, exitCode, stderr } = await runProgram(confine, program, { timeoutMs: TIMEOUT_MS });
  if (ended === 'exited' && exitCode === 0) return;
  throw new AppError('agent_unavailable', 'The owner of a folder could not be changed to the uid of its sandbox.', {
    cause: new Error(stderr),
  });
}

/** Assigns a folder with its content to the owner of another folder, unless it has the same owner. */
export async function giveToOwnerOf(
  confine: Confine,
  identities: Identities,
  owned: string,
  folder: string,
): Promise<void> {
  if (identities.of(owned) === undefined || identities.owner(folder) === identities.owner(owned)) return;
  await identities.share(owned, [folder]);
  await unifyOwner(confine, identities, folder);
}
