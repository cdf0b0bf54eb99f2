import type { ClientArena } from './client-arena.ts';
import type { Conditions } from './conditions.ts';

/**
 * An attack of a hostile client over HTTP. It is carried out on the real server, and on the same server without the one
 * defence against it.
 */
export type ClientAttack = {
  name: string;
  /** Actions of the client. */
  by: string;
  /** Conditions of the server, when the attack needs more than an API_KEY. */
  given?: Conditions;
  /** Needs a separate server, because the attack exhausts a limit that others need. */
  alone?: true;
  /** Runs the attack; returns whether it succeeded. */
  harm(arena: ClientArena): Promise<boolean>;
  /** Removes the defence. */
  without?: Conditions;
  /** Why the attack is not carried out without the defence. */
  skipProof?: string;
};
