import { randomUUID } from 'node:crypto';
import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk';
import type { EventDraft, ToolKind } from '../../../schemas/event.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import type { AgentMode } from '../agent-definition.ts';
import type { TurnListener } from '../turn/listener.ts';
import { CANCELED, type Decision, decidePermission, outcomeOf, questionOf } from './permission-policy.ts';
import { MAX_TITLE_BYTES, mapUpdate, toolCall, truncate } from './updates.ts';

const MAX_LOG_LINES = 200;
const MAX_LOG_LINE_BYTES = 2000;
/** Tool calls of a turn that are tracked, to tell new ones from updates. */
const MAX_TOOLS = 10_000;

export type TurnContext = {
  mode: AgentMode;
  /** Path of the workspace in the sandbox. */
  root: string;
  redactor: Redactor;
  /** Kinds of tool calls for which a person decides. */
  asked: readonly ToolKind[];
};

export type Turn = ReturnType<typeof createTurn>;

/** Creates the turn that turns the messages of an agent into events. */
export function createTurn({ mode, root, redactor, asked }: TurnContext, { notify, ask, drained }: TurnListener) {
  // Texts are redacted before they are truncated, which could leave half of a secret. The event log redacts complete texts.
  const context = { root, redact: redactor.text };
  const tools = new Set<string>();
  let logLines = 0;
  let answered = false;
  const ended = new AbortController();
  const onEvent = (draft: EventDraft) => notify({ type: 'event', draft });

  function emit(draft: EventDraft): void {
    answered ||= draft.type !== 'thought.delta';
    if (draft.type === 'tool.started' || draft.type === 'tool.updated') {
      // Agents report some calls first by an update or a permission request.
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
    onEvent({ type: 'log', data: { level: 'warn', text: truncate(context.redact(line), MAX_LOG_LINE_BYTES) } });
  }

  function decideByPolicy({ toolCall: { toolCallId } }: RequestPermissionRequest, decision: Decision): Decision {
    const ids = { permission_id: randomUUID(), tool_call_id: truncate(toolCallId, MAX_TITLE_BYTES) };
    onEvent({ type: 'permission.resolved', data: { ...ids, decision, by: 'policy' } });
    return decision;
  }

  async function askPerson(request: RequestPermissionRequest): Promise<Decision | 'canceled'> {
    const question = questionOf(request, context.redact);
    if (question !== undefined) return ask(question, ended.signal);
    log('Rejected a permission request that is too large, or does not describe the tool call.');
    return decideByPolicy(request, 'reject');
  }

  return {
    /** Returns whether the agent has sent an answer or called a tool. */
    answered: () => answered,

    /** Emits the `update` of a `session/update`. Resolves when the next one may be read. */
    async update(update: unknown): Promise<void> {
      for (const draft of mapUpdate(update, context)) {
        emit(draft);
        await drained?.();
      }
    },

    /** Answers a permission request, by the policy or by a person. */
    async permission(request: RequestPermissionRequest): Promise<RequestPermissionResponse> {
      if (ended.signal.aborted) return { outcome: CANCELED };
      for (const draft of toolCall('tool.started', request.toolCall, context)) emit(draft);
      const policy = decidePermission(mode, asked, request);
      const decision = policy === 'ask' ? await askPerson(request) : decideByPolicy(request, policy);
      await drained?.();
      return { outcome: outcomeOf(ended.signal.aborted ? 'canceled' : decision, request.options) };
    },

    /** Logs a warning: a line of the agent's stderr, or a request that the server refused. */
    log,

    /** Answers open and later permission requests as canceled. */
    end(): void {
      ended.abort();
    },
  };
}
