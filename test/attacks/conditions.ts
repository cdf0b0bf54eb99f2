import type { Edit } from './take-away.ts';

/** What a server is started with. */
export type Conditions = {
  /** @param evilPort port of a service on loopback that belongs to the attacker */
  settings?: (evilPort: number) => Record<string, string>;
  nodeArgs?: readonly string[];
  /** Changes of its code. */
  edits?: readonly Edit[];
};
