import { count } from './kinds.ts';

export const retentionSettings = {
  MIN_FREE_DISK_MB: count(
    512,
    0,
    100_000_000,
    'Minimum free space of DATA_DIR and TICKETS_ROOT, in MiB. Below it, the server accepts no new work. Below twice as much, it cleans up. 0: no minimum.',
  ),
  RETAIN_EVENTS_DAYS: count(
    90,
    0,
    36_500,
    'Days after which the server deletes the events of a finished run; 0: never.',
  ),
  RETAIN_RUNS_DAYS: count(
    365,
    0,
    36_500,
    'Days after which the server deletes a finished run, unless its ticket continues from it; 0: never.',
  ),
  RETAIN_RUNS_PER_TICKET: count(
    1000,
    0,
    1_000_000,
    'Number of finished runs that each ticket keeps, the newest ones. The server also keeps runs that the ticket continues from. 0: all.',
  ),
  RETAIN_CONVERSATIONS_DAYS: count(
    90,
    0,
    36_500,
    'Days after which the server deletes the conversation of an idle ticket; 0: never.',
  ),
  RETAIN_WORKSPACES_DAYS: count(
    30,
    0,
    36_500,
    'Days after which the server parks an idle workspace whose work is pushed: it removes the files, and the next command restores them. 0: never.',
  ),
  RETAIN_AUDIT_DAYS: count(0, 0, 36_500, 'Days after which the server deletes audit entries, at least 30; 0: never.'),
};
