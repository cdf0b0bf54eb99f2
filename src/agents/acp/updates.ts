import { isAbsolute, relative, sep } from 'node:path';
import type { EventData, EventDraft, ToolKind, ToolStatus } from '../../../schemas/event.ts';
import { isRecord } from '../../json/is-record.ts';

export type UpdateContext = {
  /** The workspace as the agent sees it; paths in it are told relative to it. */
  root: string;
  /** Masks secrets; applied to all but the deltas, whose secrets may be split. */
  redact: (text: string) => string;
};

/** Longest text of one field of an update, and of all diffs in it, in bytes. */
const MAX_TEXT = 64 * 1024;
const MAX_DIFFS = 4 * MAX_TEXT;
/** Longest piece of a message in one event, in characters. */
const MAX_PIECE = 16 * 1024;
/** Longest title, path or id, in bytes. */
export const MAX_TITLE = 1024;
const MAX_ITEMS = 100;

const KINDS: ReadonlySet<string> = new Set<ToolKind>([
  ...(['read', 'edit', 'delete', 'move', 'search', 'execute', 'think', 'fetch', 'switch_mode', 'other'] as const),
]);
const STATUSES: ReadonlySet<string> = new Set<ToolStatus>(['pending', 'in_progress', 'completed', 'failed']);

/**
 * One `update` of an ACP `session/update` as events. The agent may send anything: what is not understood, or says
 * nothing to the reader of a run, gives no event. https://agentclientprotocol.com/protocol/prompt-turn
 */
export function mapUpdate(update: unknown, context: UpdateContext): EventDraft[] {
  if (!isRecord(update)) return [];
  switch (update.sessionUpdate) {
    case 'agent_message_chunk':
      return delta('message.delta', update.content);
    case 'agent_thought_chunk':
      return delta('thought.delta', update.content);
    case 'tool_call':
      return toolCall('tool.started', update, context);
    case 'tool_call_update':
      return toolCall('tool.updated', update, context);
    case 'plan':
      return [
        { type: 'plan.entries', data: { entries: items(update.entries).map((entry) => planEntry(entry, context)) } },
      ];
    default:
      return [];
  }
}

/** A tool call, also as it comes with a permission request. */
export function toolCall(type: 'tool.started' | 'tool.updated', call: unknown, context: UpdateContext): EventDraft[] {
  if (!isRecord(call) || typeof call.toolCallId !== 'string') return [];
  const data: EventData['tool.updated'] = { tool_call_id: bounded(call.toolCallId, MAX_TITLE) };
  if (typeof call.title === 'string') data.title = title(call.title, context);
  const kind = normalKind(call.kind);
  if (kind !== undefined) data.kind = kind;
  if (isStatus(call.status)) data.status = call.status;

  const locations = items(call.locations).flatMap((location) => toLocation(location, context));
  if (locations.length > 0) data.locations = locations;
  const diff = firstOf(items(call.content).flatMap((content) => toDiff(content, context)));
  if (diff.length > 0) data.diff = diff;
  const output = items(call.content).flatMap(toText).join('\n');
  if (output !== '') data.output = bounded(context.redact(output), MAX_TEXT);
  return [{ type, data }];
}

function delta(type: 'message.delta' | 'thought.delta', content: unknown): EventDraft[] {
  const text = isRecord(content) && content.type === 'text' ? content.text : undefined;
  return typeof text === 'string' ? pieces(text).map((piece) => ({ type, data: { text: piece } })) : [];
}

/** The text in pieces, none of which ends in the middle of a character. */
function pieces(text: string): string[] {
  const all: string[] = [];
  for (let start = 0; start < text.length; ) {
    const end = start + MAX_PIECE;
    const splits = end < text.length && /[\uD800-\uDBFF]/.test(text.charAt(end - 1));
    const piece = text.slice(start, splits ? end - 1 : end);
    all.push(piece);
    start += piece.length;
  }
  return all;
}

function planEntry(entry: Record<string, unknown>, { redact }: UpdateContext) {
  const field = (value: unknown) => (typeof value === 'string' ? bounded(redact(value), MAX_TITLE) : '');
  return { content: field(entry.content), priority: field(entry.priority), status: field(entry.status) };
}

function toLocation(location: Record<string, unknown>, context: UpdateContext) {
  if (typeof location.path !== 'string') return [];
  const path = toPath(location.path, context);
  const { line } = location;
  return [typeof line === 'number' && Number.isInteger(line) ? { path, line } : { path }];
}

function toDiff(content: Record<string, unknown>, context: UpdateContext) {
  if (content.type !== 'diff' || typeof content.path !== 'string' || typeof content.newText !== 'string') return [];
  const text = (value: string) => bounded(context.redact(value), MAX_TEXT);
  const after = { path: toPath(content.path, context), new_text: text(content.newText) };
  return [typeof content.oldText === 'string' ? { ...after, old_text: text(content.oldText) } : after];
}

/** The first diffs, as many as may be in one event. */
function firstOf<T extends { old_text?: string; new_text: string }>(diffs: T[]): T[] {
  let size = 0;
  return diffs.filter(({ old_text = '', new_text }) => {
    size += Buffer.byteLength(old_text) + Buffer.byteLength(new_text);
    return size <= MAX_DIFFS;
  });
}

function toText(content: Record<string, unknown>): string[] {
  const block = content.type === 'content' ? content.content : undefined;
  return isRecord(block) && block.type === 'text' && typeof block.text === 'string' ? [block.text] : [];
}

function toPath(path: string, { root, redact }: UpdateContext): string {
  const inside = isAbsolute(path) ? relative(root, path) : path;
  const shown = inside === '..' || inside.startsWith(`..${sep}`) ? path : inside || '.';
  return bounded(redact(shown), MAX_TITLE);
}

function title(text: string, { root, redact }: UpdateContext): string {
  const pattern = new RegExp(`(?<![\\w.-])${root.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?:/|(?![\\w.-]))`, 'g');
  return bounded(redact(text.replace(pattern, (match) => (match.endsWith('/') ? '' : '.'))), MAX_TITLE);
}

/** A kind that this version does not know is `other`; none stays none. */
export function normalKind(kind: unknown): ToolKind | undefined {
  if (kind === undefined || kind === null) return undefined;
  return isKind(kind) ? kind : 'other';
}

function isKind(value: unknown): value is ToolKind {
  return typeof value === 'string' && KINDS.has(value);
}

function isStatus(value: unknown): value is ToolStatus {
  return typeof value === 'string' && STATUSES.has(value);
}

/** The text, or its first bytes and a word about the rest. */
export function bounded(text: string, maxBytes: number): string {
  const bytes = Buffer.byteLength(text);
  if (bytes <= maxBytes) return text;
  const head = Buffer.from(text)
    .subarray(0, maxBytes)
    .toString()
    .replace(/\uFFFD+$/, '');
  return `${head}\n[${bytes - Buffer.byteLength(head)} bytes cut]`;
}

function items(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.slice(0, MAX_ITEMS).filter(isRecord) : [];
}
