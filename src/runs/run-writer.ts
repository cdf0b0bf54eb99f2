import { setImmediate as turn } from 'node:timers/promises';
import type { EventDraft, EventType, Step } from '../../schemas/event.ts';
import type { Usage } from '../../schemas/run.ts';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import { eventSize } from '../store/event-size.ts';
import type { RunPatch } from '../store/runs.ts';
import type { RunRow } from '../store/schema.ts';

/** Events that nobody waits for: they are written with the next one, or after so many milliseconds. */
const UNHURRIED: ReadonlySet<string> = new Set(['step.started', 'step.finished', 'usage.updated']);
const UNHURRIED_MS = 50;

const MIB = 1024 * 1024;

/** Neighbouring text is joined up to this many characters an event. */
const JOINED_CHARACTERS = 16_384;

/** What may be queued before the agent has to wait, in bytes of events. */
const MAX_QUEUED = 256 * 1024;

/** Events of the agent alone: past the limit of a run there are none of them. */
const OF_AGENT: ReadonlySet<string> = new Set<EventType>([
  ...(['message.delta', 'thought.delta', 'tool.started', 'tool.updated', 'plan.entries'] as const),
]);

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
 * @param written size of the events that the run has already, in bytes
 * @param onFailure called when writing is over for this attempt, for example because another one took over, and when the
 * events of the run have become larger than MAX_RUN_OUTPUT_MB
 */
export function createRunWriter(
  { log, config }: { log: EventLog; config: Pick<Config, 'MAX_RUN_OUTPUT_MB'> },
  row: RunRow,
  written: number,
  onFailure: (error: unknown) => void,
) {
  const maxSize = config.MAX_RUN_OUTPUT_MB * MIB;
  let size = written;
  let queued = 0;
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
      queued = 0;
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

  /** Counts an event that takes so many bytes; returns whether the run may have it. */
  function admit({ type }: EventDraft, bytes: number): boolean {
    const within = size <= maxSize;
    if (!within && OF_AGENT.has(type)) return false;
    size += bytes;
    queued += bytes;
    if (within && size > maxSize) onFailure(tooMuch(config));
    return true;
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
      if (failed !== undefined) return;
      const joined = joinText(pending.at(-1), draft);
      if (joined === undefined) {
        if (admit(draft, eventSize(draft))) pending.push(draft);
      } else if (admit(draft, Buffer.byteLength(joined.added))) {
        pending[pending.length - 1] = joined.draft;
      }
      if (UNHURRIED.has(draft.type)) later ??= setTimeout(write, UNHURRIED_MS);
      else void write();
    },

    /** Returns a promise to wait for when much is queued; it resolves when all of it is durable. */
    drained(): Promise<void> | undefined {
      return queued > MAX_QUEUED ? write() : undefined;
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
      pending.push(...drafts.filter((draft) => admit(draft, eventSize(draft))));
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

/** Joins text to the event before it; undefined when they are of different kinds, or too long together. */
function joinText(last: EventDraft | undefined, draft: EventDraft): { draft: EventDraft; added: string } | undefined {
  if (draft.type !== 'message.delta' && draft.type !== 'thought.delta') return undefined;
  if (last?.type !== draft.type || last.data.text.length + draft.data.text.length > JOINED_CHARACTERS) return undefined;
  return { draft: { type: draft.type, data: { text: last.data.text + draft.data.text } }, added: draft.data.text };
}

function tooMuch({ MAX_RUN_OUTPUT_MB: limit }: Pick<Config, 'MAX_RUN_OUTPUT_MB'>): AppError {
  return new AppError('output_limit', `The agent sent more than the ${limit} MiB that MAX_RUN_OUTPUT_MB allows a run.`);
}
