import type { ClientArena } from './client-arena.ts';
import type { Conditions } from './conditions.ts';

/**
 * What a hostile client does to the server over HTTP. The harm is what must not come about: it is tried on the real
 * server, and on the same server without the one defence that is in its way.
 */
export type ClientAttack = {
  name: string;
  /** What the client does. */
  by: string;
  /** What the server is started with, where the attack needs more than an API_KEY. */
  given?: Conditions;
  /** Leaves the server in a state that is no good for others, such as a limit that is used up. */
  alone?: true;
  harm(arena: ClientArena): Promise<boolean>;
  /** Takes away what is in its way. */
  without?: Conditions;
  /** Why it is not tried without the defences. */
  notProved?: string;
};
