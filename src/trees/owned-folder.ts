import { mkdir } from 'node:fs/promises';
import type { Identities } from '../sandbox/identity.ts';

/** Creates a folder for files of a ticket, accessible to its owner only. */
export async function makeOwnedFolder(identities: Pick<Identities, 'assign'>, folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  await identities.assign(folder);
}
