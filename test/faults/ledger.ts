/** What a client was told, and so what must be true from then on. */
export type Ledger = ReturnType<typeof createLedger>;

export type KnownTicket = { asked: boolean; created: boolean; removal: 'none' | 'asked' | 'acknowledged' };

/** The memory of everything that was acknowledged to a client. */
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
    /** Runs that were acknowledged while a backup was taken: they may be in it. */
    uncertain,
    /** Runs whose cancel was acknowledged, with their attempt at that time. */
    canceled,
    /** Answers to permissions that were acknowledged. */
    decisions,
    /** Files that the agent was seen to have written. */
    files,
    /** Newest commit of each branch of the remote, as it was last seen. */
    heads,
    /** Events that two readers saw differently. */
    mismatches,

    /** What was acknowledged so far, for `goBackTo`. */
    copy: () => structuredClone({ tickets, plans, runs, events, canceled, decisions, files }),

    /** Forgets what was acknowledged since; what the remote was seen to have, it has. */
    goBackTo(earlier: ReturnType<typeof this.copy>): void {
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
      const known = tickets.get(ticketId) ?? { asked: false, created: false, removal: 'none' };
      tickets.set(ticketId, known);
      return known;
    },

    /** An event as the bytes of its frame; what another reader saw at the same place must be the same. */
    saw(runId: string, seq: number, bytes: string): void {
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
