import { isAbsolute, relative, sep } from 'node:path';
import type { EventData, EventDraft, ToolKind, ToolStatus } from '../../../schemas/event.ts';
import { isRecord } from '../../json/is-record.ts';

export type UpdateContext = {
  /** Path of the workspace in the sandbox; events show paths relative to it. */
  root: string;
  /** Masks secrets. Not applied to deltas, which may split a secret. */
  redact: (text: string) => string;
};

/** Longest text of one field of an update, and of all its diffs. */
const MAX_TEXT_BYTES = 64 * 1024;
const MAX_DIFFS_BYTES = 4 * MAX_TEXT_BYTES;
/** Longest part of a message in one event. */
const MAX_PART_CHARS = 16 * 1024;
/** Longest title, path or id. */
export const MAX_TITLE_BYTES = 1024;
const MAX_ITEMS = 100;

const KINDS: ReadonlySet<string> = new Set<ToolKind>([
  ...(['read', 'edit', 'delete', 'move', 'search', 'execute', 'think', 'fetch', 'switch_mode', 'other'] as const),
]);
const STATUSES: ReadonlySet<string> = new Set<ToolStatus>(['pending', 'in_progress', 'completed', 'failed']);

/**
 * Maps one `update` of an ACP `session/update` to events: https://agentclientprotocol.com/protocol/prompt-turn
 * The agent may send anything. Unknown and irrelevant updates map to no event.
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

/** Maps a tool call of an update or a permission request. */
export function toolCall(type: 'tool.started' | 'tool.updated', call: unknown, context: UpdateContext): EventDraft[] {
  if (!isRecord(call) || typeof call.toolCallId !== 'string') return [];
  const data: EventData['tool.updated'] = { tool_call_id: truncate(call.toolCallId, MAX_TITLE_BYTES) };
  if (typeof call.title === 'string') data.title = title(call.title, context);
  const kind = normalKind(call.kind);
  if (kind !== undefined) data.kind = kind;
  if (isStatus(call.status)) data.status = call.status;

  const locations = items(call.locations).flatMap((location) => toLocation(location, context));
  if (locations.length > 0) data.locations = locations;
  const diff = firstDiffs(items(call.content).flatMap((content) => toDiff(content, context)));
  if (diff.length > 0) data.diff = diff;
  const output = items(call.content).flatMap(toText).join('\n');
  if (output !== '') data.output = truncate(context.redact(output), MAX_TEXT_BYTES);
  return [{ type, data }];
}

function delta(type: 'message.delta' | 'thought.delta', content: unknown): EventDraft[] {
  const text = isRecord(content) && content.type === 'text' ? content.text : undefined;
  return typeof text === 'string' ? split(text).map((part) => ({ type, data: { text: part } })) : [];
}

/** Splits a text into parts, without splitting a character. */
function split(text: string): string[] {
  const parts: string[] = [];
  for (let start = 0; start < text.length; ) {
    const end = start + MAX_PART_CHARS;
    const splitsPair = end < text.length && /[\uD800-\uDBFF]/.test(text.charAt(end - 1));
    const part = text.slice(start, splitsPair ? end - 1 : end);
    parts.push(part);
    start += part.length;
  }
  return parts;
}

function planEntry(entry: Record<string, unknown>, { redact }: UpdateContext) {
  const field = (value: unknown) => (typeof value === 'string' ? truncate(redact(value), MAX_TITLE_BYTES) : '');
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
  const text = (value: string) => truncate(context.redact(value), MAX_TEXT_BYTES);
  const after = { path: toPath(content.path, context), new_text: text(content.newText) };
  return [typeof content.oldText === 'string' ? { ...after, old_text: text(content.oldText) } : after];
}

/** Returns the first diffs, up to the limit of one event. */
function firstDiffs<T extends { old_text?: string; new_text: string }>(diffs: T[]): T[] {
  let size = 0;
  return diffs.filter(({ old_text = '', new_text }) => {
    size += Buffer.byteLength(old_text) + Buffer.byteLength(new_text);
    return size <= MAX_DIFFS_BYTES;
  });
}

function toText(content: Record<string, unknown>): string[] {
  const block = content.type === 'content' ? content.content : undefined;
  return isRecord(block) && block.type === 'text' && typeof block.text === 'string' ? [block.text] : [];
}

function toPath(path: string, { root, redact }: UpdateContext): string {
  const inside = isAbsolute(path) ? relative(root, path) : path;
  const shown = inside === '..' || inside.startsWith(`..${sep}`) ? path : inside || '.';
  return truncate(redact(shown), MAX_TITLE_BYTES);
}

function title(text: string, { root, redact }: UpdateContext): string {
  const pattern = new RegExp(`(?<![\\w.-])${root.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?:/|(?![\\w.-]))`, 'g');
  return truncate(redact(text.replace(pattern, (match) => (match.endsWith('/') ? '' : '.'))), MAX_TITLE_BYTES);
}

/** Maps an unknown kind to `other`, and a missing one to undefined. */
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

/** Truncates a text and marks the cut. */
export function truncate(text: string, maxBytes: number): string {
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
