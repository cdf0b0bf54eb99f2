/** Everything that was acknowledged to a client, and so must stay true. */
export type Ledger = ReturnType<typeof createLedger>;

export type KnownTicket = { requested: boolean; created: boolean; removal: 'none' | 'requested' | 'acknowledged' };

/** Creates an empty ledger. */
export function createLedger() {
  const tickets = new Map<string, KnownTicket>();
  const plans: { ticketId: string; version: number; body: string; approvedAt?: string }[] = [];
  const runs = new Map<string, { ticketId: string; action: string }>();
  const events = new Map<string, Map<number, string>>();
  const uncertain = new Set<string>();
  const canceled = new Map<string, number>();
  const decisions = new Map<string, { runId: string; decision: string }>();
  const files: { ticketId: string; path: string; content: string }[] = [];
  const heads = new Map<string, string>();
  const mismatches: string[] = [];

  return {
    tickets,
    plans,
    runs,
    events,
    /** Runs that were acknowledged during a backup and may be in it. */
    uncertain,
    /** Runs whose cancellation was acknowledged, with their attempt at that time. */
    canceled,
    /** Answers to permissions that were acknowledged. */
    decisions,
    /** Files whose write an event reported. */
    files,
    /** Last known head of each branch of the remote. */
    heads,
    /** Events of which two readers received different versions. */
    mismatches,

    /** Copies the acknowledged state for `restore`. */
    snapshot: () => structuredClone({ tickets, plans, runs, events, canceled, decisions, files }),

    /** Returns to an earlier state. The heads of the remote stay. */
    restore(earlier: ReturnType<typeof this.snapshot>): void {
      const { plans: earlierPlans, files: earlierFiles, ...maps } = earlier;
      plans.splice(0, plans.length, ...earlierPlans);
      files.splice(0, files.length, ...earlierFiles);
      refill(tickets, maps.tickets);
      for (const runId of runs.keys()) if (!maps.runs.has(runId)) uncertain.add(runId);
      refill(runs, maps.runs);
      refill(events, maps.events);
      refill(canceled, maps.canceled);
      refill(decisions, maps.decisions);
    },

    ticket(ticketId: string): KnownTicket {
      const known = tickets.get(ticketId) ?? { requested: false, created: false, removal: 'none' };
      tickets.set(ticketId, known);
      return known;
    },

    /** Records an event as the bytes of its frame, and compares it with the one that another reader received. */
    recordEvent(runId: string, seq: number, bytes: string): void {
      const seen = events.get(runId) ?? new Map<number, string>();
      events.set(runId, seen);
      const earlier = seen.get(seq);
      if (earlier !== undefined && earlier !== bytes) {
        mismatches.push(`event ${seq} of ${runId} was ${earlier} and is now ${bytes}`);
      }
      seen.set(seq, bytes);
    },
  };
}

function refill<Key, Value>(map: Map<Key, Value>, from: ReadonlyMap<Key, Value>): void {
  map.clear();
  for (const [key, value] of from) map.set(key, value);
}
