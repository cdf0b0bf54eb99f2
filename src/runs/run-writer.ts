import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EventDraft, EventType, Step } from '../../schemas/event.ts';
import type { Usage } from '../../schemas/run.ts';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import { eventSize } from '../store/event-size.ts';
import type { RunPatch } from '../store/runs.ts';
import type { RunRow } from '../store/schema.ts';

/** Events that no reader waits for: they are written with the next event, or after `DEFER_MS`. */
const DEFERRABLE: ReadonlySet<string> = new Set(['step.started', 'step.finished', 'usage.updated']);
const DEFER_MS = 50;

const MIB = 1024 * 1024;

/** Longest text of an event that consecutive deltas are joined to, in characters. */
const MAX_JOINED_CHARS = 16_384;

/** Size of pending events at which the agent must wait, in bytes. */
const MAX_PENDING_BYTES = 256 * 1024;

/** Events of the agent, which a run over its size limit no longer records. */
const AGENT_EVENTS: ReadonlySet<string> = new Set<EventType>([
  ...(['message.delta', 'thought.delta', 'tool.started', 'tool.updated', 'plan.entries'] as const),
]);

/** Results of the finished steps, persisted with the run: a later attempt continues after them. */
export type Progress = {
  /** Model calls so far. */
  turns?: number;
  /** The limit that made the agent finish early. */
  cutShort?: { setting: string; detail: string };
  agent?: { text: string };
  commit?: { sha: string; subject: string; filesChanged: number };
  /** Changed files that PROTECTED_PATHS excludes from the commit. */
  heldBack?: string[];
  push?: { ref: string; sha: string };
  pull?: { number: number; url: string; created: boolean };
};

export type RunWriter = ReturnType<typeof createRunWriter>;

/**
 * Creates the only writer of a run's events. `emit` never waits: events that arrive while a batch is committed go into the next
 * batch, with consecutive text deltas joined.
 * @param written size of the run's events so far, in bytes
 * @param onFailure called when a write fails, such as after a newer attempt started, and once when the events exceed
 * MAX_RUN_OUTPUT_MB
 */
export function createRunWriter(
  { log, config }: { log: EventLog; config: Pick<Config, 'MAX_RUN_OUTPUT_MB'> },
  row: RunRow,
  written: number,
  onFailure: (error: unknown) => void,
) {
  const isWithinLimit = createSizeLimit(config, written, onFailure);
  let pendingBytes = 0;
  let pending: EventDraft[] = [];
  let patch: RunPatch = {};
  let writing: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let failed: { error: unknown } | undefined;
  let usage: Usage = JSON.parse(row.usage);
  const progress: Progress = JSON.parse(row.progress);
  const startedAt = performance.now();
  const spentMs = () => row.duration_ms + performance.now() - startedAt;

  function isIdle(): boolean {
    return failed !== undefined || (pending.length === 0 && Object.keys(patch).length === 0);
  }

  async function writeAll(): Promise<void> {
    while (!isIdle()) {
      // Events emitted in the same turn share a commit.
      await nextTurn();
      clearTimeout(timer);
      timer = undefined;
      const [drafts, changes] = [pending, patch];
      [pending, pendingBytes, patch] = [[], 0, {}];
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
    // An idle writeAll would finish before the assignment, and `writing` would stay set forever.
    if (!isIdle()) writing ??= writeAll();
    await writing;
  }

  function admit(draft: EventDraft, bytes: number): boolean {
    const admitted = isWithinLimit(draft, bytes);
    if (admitted) pendingBytes += bytes;
    return admitted;
  }

  const writer = {
    progress,

    get usage(): Usage {
      return usage;
    },

    /** Duration of this attempt and the recorded earlier ones, in milliseconds. */
    spentMs,

    /** Counts a model call. */
    addTurn(): void {
      progress.turns = (progress.turns ?? 0) + 1;
      patch.progress = JSON.stringify(progress);
    },

    /** Queues an event for the next batch. */
    emit(draft: EventDraft): void {
      if (failed !== undefined) return;
      const joined = joinText(pending.at(-1), draft);
      if (joined === undefined) {
        if (admit(draft, eventSize(draft))) pending.push(draft);
      } else if (admit(draft, Buffer.byteLength(joined.added))) {
        pending[pending.length - 1] = joined.draft;
      }
      if (DEFERRABLE.has(draft.type)) timer ??= setTimeout(write, DEFER_MS);
      else void write();
    },

    /** Returns a promise when too many events are pending; it resolves when all of them are durable. */
    drained(): Promise<void> | undefined {
      return pendingBytes > MAX_PENDING_BYTES ? write() : undefined;
    },

    /** Sets the tokens that the run has used. */
    setUsage(total: Usage): void {
      usage = total;
      patch.usage = JSON.stringify(total);
    },

    /** Sets the agent's id of the conversation, to be written with the next event. */
    setSession(sessionId: string): void {
      patch.session_id = sessionId;
    },

    /**
     * Writes all pending events and the given changes of the run; resolves when they are durable.
     * @throws the first error of a write, a FencedError when a newer attempt started
     */
    async save(changes: RunPatch = {}, drafts: readonly EventDraft[] = []): Promise<void> {
      pending.push(...drafts.filter((draft) => admit(draft, eventSize(draft))));
      patch = { ...patch, ...changes };
      await write();
      if (failed !== undefined) throw failed.error;
    },

    /** Writes the pending events; later ones are ignored. Never rejects. */
    async close(): Promise<void> {
      await write();
      failed ??= { error: new Error('the run has finished') };
    },

    /** Runs a step between its two events; its changes of `progress` are durable when this resolves. */
    step: <T>(step: Step, task: () => Promise<T>): Promise<T> => runStep(writer, step, task),
  };
  return writer;
}

/** Joins a text delta to the event before it; undefined when the types differ or the result would be too long. */
function joinText(last: EventDraft | undefined, draft: EventDraft): { draft: EventDraft; added: string } | undefined {
  if (draft.type !== 'message.delta' && draft.type !== 'thought.delta') return undefined;
  if (last?.type !== draft.type || last.data.text.length + draft.data.text.length > MAX_JOINED_CHARS) return undefined;
  return { draft: { type: draft.type, data: { text: last.data.text + draft.data.text } }, added: draft.data.text };
}

/**
 * Returns a function that counts the bytes of an event, and returns whether the run may record it.
 * @param onExceeded called once
 */
function createSizeLimit(
  { MAX_RUN_OUTPUT_MB: limit }: Pick<Config, 'MAX_RUN_OUTPUT_MB'>,
  written: number,
  onExceeded: (error: AppError) => void,
) {
  const maxSize = limit * MIB;
  let size = written;
  return ({ type }: EventDraft, bytes: number): boolean => {
    const within = size <= maxSize;
    if (!within && AGENT_EVENTS.has(type)) return false;
    size += bytes;
    if (within && size > maxSize) {
      const detail = `The output of the run exceeds the ${limit} MiB that MAX_RUN_OUTPUT_MB allows.`;
      onExceeded(new AppError('output_limit', detail));
    }
    return true;
  };
}

async function runStep<T>(
  { progress, emit, save }: Pick<RunWriter, 'progress' | 'emit' | 'save'>,
  step: Step,
  task: () => Promise<T>,
): Promise<T> {
  const started = performance.now();
  const before = JSON.stringify(progress);
  emit({ type: 'step.started', data: { step } });
  const value = await task();
  const duration_ms = Math.round(performance.now() - started);
  const after = JSON.stringify(progress);
  emit({ type: 'step.finished', data: { step, duration_ms } });
  // Without progress there is nothing to wait for: a later attempt repeats the step.
  if (after !== before) await save({ progress: after });
  return value;
}
