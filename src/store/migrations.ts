import type { Migration } from 'kysely/migration';
import { createTables } from './migrations/0001-tickets-plans-runs-events.ts';
import { addKeysAndAudit } from './migrations/0002-keys-audit.ts';
import { addQueue } from './migrations/0003-queue.ts';
import { addBudget } from './migrations/0004-limits.ts';
import { addPermissions } from './migrations/0005-permissions.ts';
import { addIdempotencyAndUsage } from './migrations/0006-idempotency.ts';
import { addHousekeeping } from './migrations/0007-housekeeping.ts';
import { addCancel } from './migrations/0008-cancel.ts';
import { addSessions } from './migrations/0009-sessions.ts';
import { addIndexesForGrowth } from './migrations/0010-growth.ts';
import { addDeletedUsage } from './migrations/0011-deleted-usage.ts';

/** Applied in the order of their names. A released migration is never edited. */
export const migrations: Record<string, Migration> = {
  '0001-tickets-plans-runs-events': { up: createTables },
  '0002-keys-audit': { up: addKeysAndAudit },
  '0003-queue': { up: addQueue },
  '0004-limits': { up: addBudget },
  '0005-permissions': { up: addPermissions },
  '0006-idempotency': { up: addIdempotencyAndUsage },
  '0007-housekeeping': { up: addHousekeeping },
  '0008-cancel': { up: addCancel },
  '0009-sessions': { up: addSessions },
  '0010-growth': { up: addIndexesForGrowth },
  '0011-deleted-usage': { up: addDeletedUsage },
};
