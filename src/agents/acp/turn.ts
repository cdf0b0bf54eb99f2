import { randomUUID } from 'node:crypto';
import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk';
import type { EventDraft, ToolKind } from '../../../schemas/event.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import type { AgentMode } from '../agent-definition.ts';
import {
  type AskPermission,
  CANCELED,
  type Decision,
  decidePermission,
  outcomeOf,
  questionOf,
} from './permission-policy.ts';
import { bounded, MAX_TITLE, mapUpdate, toolCall } from './updates.ts';

const MAX_LOG_LINES = 200;
const MAX_LOG_LINE = 2000;
/** Tool calls of a turn that are remembered, to know which are new. */
const MAX_TOOLS = 10_000;

export type TurnOptions = {
  mode: AgentMode;
  /** The workspace as the agent sees it. */
  root: string;
  redactor: Redactor;
  /** Kinds of tool calls that a person is asked about. */
  asked: readonly ToolKind[];
  ask: AskPermission;
  onEvent: (draft: EventDraft) => void;
  /** Returns a promise while the events wait to be written: nothing more is read of the agent until it resolves. */
  drained?: (() => Promise<void> | undefined) | undefined;
};

export type Turn = ReturnType<typeof createTurn>;

/** Makes events of all that an agent sends while it works on one prompt. */
export function createTurn({ mode, root, redactor, asked, ask, onEvent, drained }: TurnOptions) {
  // Before texts are cut, which could leave the half of a secret; the event log does it for all that is whole.
  const context = { root, redact: redactor.text };
  const tools = new Set<string>();
  let logLines = 0;
  let answered = false;
  const ended = new AbortController();

  function emit(draft: EventDraft): void {
    answered ||= draft.type !== 'thought.delta';
    if (draft.type === 'tool.started' || draft.type === 'tool.updated') {
      // Agents tell of some calls for the first time with an update or a permission request.
      const known = tools.has(draft.data.tool_call_id);
      if (tools.size < MAX_TOOLS) tools.add(draft.data.tool_call_id);
      onEvent({ ...draft, type: known ? 'tool.updated' : 'tool.started' });
    } else {
      onEvent(draft);
    }
  }

  function log(line: string): void {
    logLines += 1;
    if (logLines > MAX_LOG_LINES) return;
    onEvent({ type: 'log', data: { level: 'warn', text: bounded(context.redact(line), MAX_LOG_LINE) } });
  }

  function settle({ toolCall: { toolCallId } }: RequestPermissionRequest, decision: Decision): Decision {
    const ids = { permission_id: randomUUID(), tool_call_id: bounded(toolCallId, MAX_TITLE) };
    onEvent({ type: 'permission.resolved', data: { ...ids, decision, by: 'policy' } });
    return decision;
  }

  async function askPerson(request: RequestPermissionRequest): Promise<Decision | 'canceled'> {
    const question = questionOf(request, context.redact);
    if (question !== undefined) return ask(question, ended.signal);
    log('A permission request that nobody could judge was rejected: too large, or silent about what is to be done.');
    return settle(request, 'reject');
  }

  return {
    /** Whether the agent said or did anything. */
    answered: () => answered,

    /** Takes the `update` of a `session/update`; resolves when there is room for the next one. */
    async update(update: unknown): Promise<void> {
      for (const draft of mapUpdate(update, context)) {
        emit(draft);
        await drained?.();
      }
    },

    /** Answers a permission request: what the policy does not settle, a person does. */
    async permission(request: RequestPermissionRequest): Promise<RequestPermissionResponse> {
      if (ended.signal.aborted) return { outcome: CANCELED };
      for (const draft of toolCall('tool.started', request.toolCall, context)) emit(draft);
      const policy = decidePermission(mode, asked, request);
      const decision = policy === 'ask' ? await askPerson(request) : settle(request, policy);
      await drained?.();
      return { outcome: outcomeOf(ended.signal.aborted ? 'canceled' : decision, request.options) };
    },

    /** A warning: a line that the agent wrote to stderr, or what the server refused it. */
    log,

    /** Permission requests, those that are open too, are answered as canceled from here on. */
    end(): void {
      ended.abort();
    },
  };
}
