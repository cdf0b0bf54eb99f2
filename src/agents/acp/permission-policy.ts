import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk';
import type { EventData, ToolKind } from '../../../schemas/event.ts';
import { isRecord } from '../../json/is-record.ts';
import { visibleLine, visibleText } from '../../model-proxy/escape-invisible.ts';
import type { AgentMode } from '../agent-definition.ts';
import { bounded, MAX_TITLE, normalKind } from './updates.ts';

export type Decision = 'allow' | 'reject';

/** What a person is asked: all of a `permission.requested` that comes from the agent. */
export type Question = Omit<EventData['permission.requested'], 'permission_id' | 'deadline'>;

/**
 * Asks a person. Resolves with the answer, with `reject` when none came in time, and with `canceled` when the signal is
 * aborted first.
 */
export type AskPermission = (question: Question, signal: AbortSignal) => Promise<Decision | 'canceled'>;

type Outcome = RequestPermissionResponse['outcome'];

/** What work on a workspace consists of. Not among them: leaving a mode, and what the agent itself calls `other`. */
const WORK: ReadonlySet<ToolKind> = new Set(['read', 'edit', 'delete', 'move', 'search', 'execute']);

const MAX_OPTIONS = 20;
/** Largest question in characters of its JSON. */
const MAX_QUESTION = 256 * 1024;

export const CANCELED: Outcome = { outcome: 'cancelled' };

/**
 * What the policy says to a permission request: in a mode that only reads nothing is allowed; otherwise the operator
 * names the kinds that a person is asked about, and work on the workspace is allowed. What the agent offers no clear way
 * to allow once is rejected. A request without a kind is of the kind `other`.
 */
export function decidePermission(
  mode: AgentMode,
  asked: readonly ToolKind[],
  { toolCall, options }: Pick<RequestPermissionRequest, 'toolCall' | 'options'>,
): Decision | 'ask' {
  if (mode === 'read' || !canAllow(options)) return 'reject';
  const kind = normalKind(toolCall.kind) ?? 'other';
  if (asked.includes(kind)) return 'ask';
  return WORK.has(kind) ? 'allow' : 'reject';
}

/** A decision in the agent's words. Never one of its lasting options, which would change what it asks about. */
export function outcomeOf(decision: Decision | 'canceled', options: RequestPermissionRequest['options']): Outcome {
  const kind = `${decision === 'allow' ? 'allow' : 'reject'}_once`;
  const optionId = isClear(options) ? options.find((option) => option.kind === kind)?.optionId : undefined;
  return decision === 'canceled' || optionId === undefined ? CANCELED : { outcome: 'selected', optionId };
}

/**
 * The request as a person sees it: whole, and with nothing in it that a terminal or a reader would not show.
 * @param redact masks secrets
 * @returns undefined when nobody could judge it: too large, or silent about what is to be done
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
    // As the events of the tool call have it.
    tool_call_id: bounded(toolCall.toolCallId, MAX_TITLE),
    title: line(title),
    kind,
    ...(kind === 'execute' ? { command: text(commandOf(toolCall.rawInput) ?? title) } : {}),
    ...(isRecord(toolCall.rawInput) ? { input: text(JSON.stringify(toolCall.rawInput)) } : {}),
    ...(locations.length > 0 ? { locations } : {}),
    ...(diff.length > 0 ? { diff } : {}),
    options: options.map(({ optionId, name, kind }) => ({ option_id: line(optionId), name: line(name), kind })),
  };
  const says = title.trim() !== '' || question.input !== undefined || diff.length > 0;
  return says && JSON.stringify(question).length <= MAX_QUESTION ? question : undefined;
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

function commandOf(input: unknown): string | undefined {
  return isRecord(input) && typeof input.command === 'string' ? input.command : undefined;
}

function canAllow(options: RequestPermissionRequest['options']): boolean {
  return isClear(options) && options.some(({ kind }) => kind === 'allow_once');
}

/** Whether an option is what its kind says: two with one id could mean something else to the agent. */
function isClear(options: RequestPermissionRequest['options']): boolean {
  return options.length <= MAX_OPTIONS && new Set(options.map(({ optionId }) => optionId)).size === options.length;
}
