import { type Static, Type } from '@sinclair/typebox';
import { TicketId } from './common.ts';

/** Report of a clean-up. */
export const CleanUp = Type.Object(
  {
    events_of_runs: Type.Integer({ description: 'Runs whose events were deleted.' }),
    runs: Type.Integer({ description: 'Runs that were deleted.' }),
    conversations: Type.Integer(),
    audit_entries: Type.Integer(),
    mirrors_packed: Type.Integer(),
    mirrors_removed: Type.Integer(),
    parked: Type.Array(TicketId, {
      description: 'Tickets whose workspace was parked: its files were removed, and the next command restores them.',
    }),
    kept: Type.Array(Type.Object({ ticket_id: TicketId, reason: Type.String() }), {
      description: 'Idle tickets whose workspace was not parked, since its work exists nowhere else.',
    }),
    free_mb: Type.Integer({
      description: 'Free space after the clean-up, in MiB: the lower value of DATA_DIR and TICKETS_ROOT.',
    }),
  },
  {
    $id: 'CleanUp',
    examples: [
      {
        events_of_runs: 12,
        runs: 3,
        conversations: 4,
        audit_entries: 0,
        mirrors_packed: 1,
        mirrors_removed: 0,
        parked: ['REL-98'],
        kept: [{ ticket_id: 'REL-101', reason: 'changes that are not committed' }],
        free_mb: 40_960,
      },
    ],
  },
);
export type CleanUp = Static<typeof CleanUp>;
