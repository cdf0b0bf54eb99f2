/** What a client was told, and so what must be true from then on. */
export type Ledger = ReturnType<typeof createLedger>;

export type KnownTicket = { asked: boolean; created: boolean; removal: 'none' | 'asked' | 'acknowledged' };

/** The memory of everything that was acknowledged to a client. */
export function createLedger() {
  const tickets = new Map<string, KnownTicket>();
  const plans: { ticketId: string; version: number; body: string; approvedAt?: string }[] = [];
  const runs = new Map<string, { ticketId: string; action: string }>();
  const events = new Map<string, Map<number, string>>();
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
