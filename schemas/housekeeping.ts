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
  { $id: 'CleanUp' },
);
export type CleanUp = Static<typeof CleanUp>;
