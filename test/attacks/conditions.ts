import type { Edit } from './remove-defences.ts';

/** Changes to a server before it starts. */
export type Conditions = {
  /** @param attackerPort port of the attacker's server on loopback */
  settings?: (attackerPort: number) => Record<string, string>;
  nodeArgs?: readonly string[];
  /** Changes of its source. */
  edits?: readonly Edit[];
};
