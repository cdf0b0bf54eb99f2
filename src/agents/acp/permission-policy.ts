import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk';
import type { EventData, ToolKind } from '../../../schemas/event.ts';
import { isRecord } from '../../json/is-record.ts';
import { visibleLine, visibleText } from '../../model-proxy/escape-invisible.ts';
import type { AgentMode } from '../agent-definition.ts';
import { MAX_TITLE_BYTES, normalKind, truncate } from './updates.ts';

export type Decision = 'allow' | 'reject';

/** The part of a `permission.requested` that comes from the agent. */
export type Question = Omit<EventData['permission.requested'], 'permission_id' | 'deadline'>;

/**
 * Asks a person. Resolves with the answer, with `reject` after the timeout, or with `canceled` when the signal is aborted.
 */
export type AskPermission = (question: Question, signal: AbortSignal) => Promise<Decision | 'canceled'>;

type Outcome = RequestPermissionResponse['outcome'];

/** The kinds of work on a workspace. Excludes `switch_mode`, and `other` as the agent uses it. */
const WORK_KINDS: ReadonlySet<ToolKind> = new Set(['read', 'edit', 'delete', 'move', 'search', 'execute']);

const MAX_OPTIONS = 20;
/** Largest question as JSON. */
const MAX_QUESTION_CHARS = 256 * 1024;

export const CANCELED: Outcome = { outcome: 'cancelled' };

/**
 * Decides a permission request. Mode `read` allows nothing. Mode `write` asks a person about the kinds in `asked`, and allows
 * other work on the workspace. Rejects requests that have no unambiguous option to allow once. A missing kind is `other`.
 */
export function decidePermission(
  mode: AgentMode,
  asked: readonly ToolKind[],
  { toolCall, options }: Pick<RequestPermissionRequest, 'toolCall' | 'options'>,
): Decision | 'ask' {
  if (mode === 'read' || !canAllow(options)) return 'reject';
  const kind = normalKind(toolCall.kind) ?? 'other';
  if (asked.includes(kind)) return 'ask';
  return WORK_KINDS.has(kind) ? 'allow' : 'reject';
}

/** Maps a decision to an option of the agent. Never a permanent one, which would change the agent's later requests. */
export function outcomeOf(decision: Decision | 'canceled', options: RequestPermissionRequest['options']): Outcome {
  const kind = `${decision === 'allow' ? 'allow' : 'reject'}_once`;
  const optionId = isUnambiguous(options) ? options.find((option) => option.kind === kind)?.optionId : undefined;
  return decision === 'canceled' || optionId === undefined ? CANCELED : { outcome: 'selected', optionId };
}

/**
 * Returns the question for a person: complete, with invisible characters escaped.
 * @param redact masks secrets
 * @returns undefined for a request that is too large or does not describe the tool call
 */
export function questionOf(request: RequestPermissionRequest, redact: (text: string) => string): Question | undefined {
  const { toolCall, options } = request;
  const text = (value: string) => visibleText(redact(value));
  const line = (value: string) => visibleLine(redact(value));
  const title = typeof toolCall.title === 'string' ? toolCall.title : '';
  const kind = normalKind(toolCall.kind) ?? 'other';
  const locations = records(toolCall.locations).flatMap((location) => {
    if (typeof location.path !== 'string') return [];
    const path = line(location.path);
    return [Number.isInteger(location.line) ? { path, line: Number(location.line) } : { path }];
  });
  const diff = records(toolCall.content).flatMap(({ type, path, oldText, newText }) => {
    if (type !== 'diff' || typeof path !== 'string' || typeof newText !== 'string') return [];
    const after = { path: line(path), new_text: text(newText) };
    return [typeof oldText === 'string' ? { ...after, old_text: text(oldText) } : after];
  });
  const question: Question = {
    // As in the events of the tool call.
    tool_call_id: truncate(toolCall.toolCallId, MAX_TITLE_BYTES),
    title: line(title),
    kind,
    ...(kind === 'execute' ? { command: text(commandOf(toolCall.rawInput) ?? title) } : {}),
    ...(isRecord(toolCall.rawInput) ? { input: text(JSON.stringify(toolCall.rawInput)) } : {}),
    ...(locations.length > 0 ? { locations } : {}),
    ...(diff.length > 0 ? { diff } : {}),
    options: options.map(({ optionId, name, kind }) => ({ option_id: line(optionId), name: line(name), kind })),
  };
  const isDescribed = title.trim() !== '' || question.input !== undefined || diff.length > 0;
  return isDescribed && JSON.stringify(question).length <= MAX_QUESTION_CHARS ? question : undefined;
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

function commandOf(input: unknown): string | undefined {
  return isRecord(input) && typeof input.command === 'string' ? input.command : undefined;
}

function canAllow(options: RequestPermissionRequest['options']): boolean {
  return isUnambiguous(options) && options.some(({ kind }) => kind === 'allow_once');
}

/** Returns whether the kind of each option can be trusted: two options with the same id are ambiguous. */
function isUnambiguous(options: RequestPermissionRequest['options']): boolean {
  return options.length <= MAX_OPTIONS && new Set(options.map(({ optionId }) => optionId)).size === options.length;
}
