import type { ClientAttack } from './client-attack.ts';
import { CONNECTION_ATTACKS } from './client-attacks-door.ts';
import { KEY_ATTACKS } from './client-attacks-keys.ts';
import { REQUEST_ATTACKS } from './client-attacks-requests.ts';

export const CLIENT_ATTACKS: readonly ClientAttack[] = [...KEY_ATTACKS, ...CONNECTION_ATTACKS, ...REQUEST_ATTACKS];
