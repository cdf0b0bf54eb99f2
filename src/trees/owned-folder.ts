import { mkdir } from 'node:fs/promises';
import type { Identities } from '../sandbox/identity.ts';

/** Makes a folder for the files of a ticket, closed to all but its owner. */
export async function makeOwnedFolder(identities: Pick<Identities, 'assign'>, folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  await identities.assign(folder);
}
