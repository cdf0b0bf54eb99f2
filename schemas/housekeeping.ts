import { type Static, Type } from '@sinclair/typebox';
import { TicketId } from './common.ts';

/** What one clean-up did. */
export const CleanUp = Type.Object(
  {
    events_of_runs: Type.Integer({ description: 'Runs whose events were deleted.' }),
    runs: Type.Integer({ description: 'Runs that were deleted.' }),
    conversations: Type.Integer(),
    audit_entries: Type.Integer(),
    mirrors_packed: Type.Integer(),
    mirrors_removed: Type.Integer(),
    parked: Type.Array(TicketId, { description: 'Tickets whose files were removed until their next command.' }),
    kept: Type.Array(Type.Object({ ticket_id: TicketId, reason: Type.String() }), {
      description: 'Tickets that nobody works with and whose files stay, since they exist nowhere else.',
    }),
    free_mb: Type.Integer({ description: 'The least free space of DATA_DIR and TICKETS_ROOT afterwards, in MiB.' }),
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
