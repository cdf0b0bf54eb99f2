import type { ClientAttack } from './client-attack.ts';
import { AT_THE_DOOR } from './client-attacks-door.ts';
import { WITH_KEYS } from './client-attacks-keys.ts';
import { BY_REQUESTS } from './client-attacks-requests.ts';

export const CLIENT_ATTACKS: readonly ClientAttack[] = [...WITH_KEYS, ...AT_THE_DOOR, ...BY_REQUESTS];
