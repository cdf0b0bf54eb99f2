import { setImmediate as turn } from 'node:timers/promises';
import type { EventDraft, Step } from '../../schemas/event.ts';
import type { Usage } from '../../schemas/run.ts';
import type { EventLog } from '../events/event-log.ts';
import type { RunPatch, RunRow } from '../store/runs.ts';

/** Events that nobody waits for: they are written with the next one, or after so many milliseconds. */
const UNHURRIED: ReadonlySet<string> = new Set(['step.started', 'step.finished', 'usage.updated']);
const UNHURRIED_MS = 50;

/** Neighbouring text is joined up to this many characters an event. */
const JOINED_CHARACTERS = 16_384;

/** What the steps that are done left behind, kept with the run so that a later attempt goes on after them. */
export type Progress = {
  /** Calls of the model so far. */
  turns?: number;
  /** The limit that made the agent come to an end early. */
  cutShort?: { setting: string; detail: string };
  agent?: { text: string };
  commit?: { sha: string; subject: string; filesChanged: number };
  /** Changed files that PROTECTED_PATHS keeps out of the commit. */
  heldBack?: string[];
  push?: { ref: string; sha: string };
  pull?: { number: number; url: string; created: boolean };
};

export type RunWriter = ReturnType<typeof createRunWriter>;

/**
 * The only writer of a run's events. `emit` never waits: what arrives while the last batch is being made durable goes
 * into the next one, with neighbouring pieces of text joined.
 * @param onFailure called once when writing is over for this attempt, for example because another one took over
 */
export function createRunWriter(log: EventLog, row: RunRow, onFailure: (error: unknown) => void) {
  let pending: EventDraft[] = [];
  let patch: RunPatch = {};
  let writing: Promise<void> | undefined;
  let later: NodeJS.Timeout | undefined;
  let failed: { error: unknown } | undefined;
  let usage: Usage = JSON.parse(row.usage);
  const progress: Progress = JSON.parse(row.progress);
  const begun = performance.now();
  const spentMs = () => row.duration_ms + performance.now() - begun;

  function isIdle(): boolean {
    return failed !== undefined || (pending.length === 0 && Object.keys(patch).length === 0);
  }

  async function writeAll(): Promise<void> {
    while (!isIdle()) {
      // What is emitted in one go shares a commit.
      await turn();
      clearTimeout(later);
      later = undefined;
      const [drafts, changes] = [pending, patch];
      pending = [];
      patch = {};
      try {
        await log.append(row.run_id, row.attempt, drafts, { ...changes, duration_ms: Math.round(spentMs()) });
      } catch (error) {
        failed = { error };
        onFailure(error);
      }
    }
    writing = undefined;
  }

  async function write(): Promise<void> {
    // With nothing to do, writeAll would be over before it is noted as under way, and then never be begun again.
    if (!isIdle()) writing ??= writeAll();
    await writing;
  }

  const writer = {
    progress,

    get usage(): Usage {
      return usage;
    },

    /** How long the run has been under way, in milliseconds: this attempt and those before it, as far as it is known of them. */
    spentMs,

    /** Counts a call of the model. */
    addTurn(): void {
      progress.turns = (progress.turns ?? 0) + 1;
      patch.progress = JSON.stringify(progress);
    },

    /** Queues an event; it is durable, and then visible, soon: at once unless nobody waits for it. */
    emit(draft: EventDraft): void {
      const last = pending.at(-1);
      if (
        last !== undefined &&
        (last.type === 'message.delta' || last.type === 'thought.delta') &&
        draft.type === last.type &&
        last.data.text.length + draft.data.text.length <= JOINED_CHARACTERS
      ) {
        pending[pending.length - 1] = { type: draft.type, data: { text: last.data.text + draft.data.text } };
      } else {
        pending.push(draft);
      }
      if (UNHURRIED.has(draft.type)) later ??= setTimeout(write, UNHURRIED_MS);
      else void write();
    },

    /** Sets the tokens that the run has used so far. */
    setUsage(total: Usage): void {
      usage = total;
      patch.usage = JSON.stringify(total);
    },

    /** Sets the agent's id of the conversation; written with the next event, before which nothing is in it. */
    setSession(sessionId: string): void {
      patch.session_id = sessionId;
    },

    /**
     * Writes everything queued and the given changes of the run; resolves when all of it is durable.
     * @throws what stopped the writing, a FencedError when another attempt took over
     */
    async save(changes: RunPatch = {}, drafts: readonly EventDraft[] = []): Promise<void> {
      pending.push(...drafts);
      patch = { ...patch, ...changes };
      await write();
      if (failed !== undefined) throw failed.error;
    },

    /** Writes what is left, if it can be written; nothing that is emitted later is part of the run. */
    async close(): Promise<void> {
      await write();
      failed ??= { error: new Error('the run has ended') };
    },

    /** Runs a step between its two events; what it left in `progress` is durable when this resolves. */
    async step<T>(step: Step, work: () => Promise<T>): Promise<T> {
      const started = performance.now();
      const before = JSON.stringify(progress);
      writer.emit({ type: 'step.started', data: { step } });
      const value = await work();
      const duration_ms = Math.round(performance.now() - started);
      const after = JSON.stringify(progress);
      writer.emit({ type: 'step.finished', data: { step, duration_ms } });
      // A step that left nothing need not be waited for: it would be done again.
      if (after !== before) await writer.save({ progress: after });
      return value;
    },
  };
  return writer;
}
