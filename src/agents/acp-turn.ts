import { randomUUID } from 'node:crypto';
import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk';
import type { EventDraft } from '../../schemas/event.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { bounded, mapUpdate, toolCall } from './acp-updates.ts';
import type { AgentMode } from './agent-definition.ts';
import { decidePermission } from './permissions.ts';

const MAX_LOG_LINES = 200;
const MAX_LOG_LINE = 2000;
const MAX_NAME = 1024;
const MAX_OPTIONS = 20;

export type TurnOptions = {
  mode: AgentMode;
  /** The workspace as the agent sees it. */
  root: string;
  redactor: Redactor;
  onEvent: (draft: EventDraft) => void;
};

export type Turn = ReturnType<typeof createTurn>;

/** Makes events of all that an agent sends while it works on one prompt. */
export function createTurn({ mode, root, redactor, onEvent }: TurnOptions) {
  // Before texts are cut, which could leave the half of a secret; the event log does it for all that is whole.
  const context = { root, redact: redactor.text };
  const tools = new Set<string>();
  let logLines = 0;
  let answered = false;
  let canceled = false;

  function emit(draft: EventDraft): void {
    answered ||= draft.type !== 'thought.delta';
    if (draft.type === 'tool.started' || draft.type === 'tool.updated') {
      // Agents tell of some calls for the first time with an update or a permission request.
      const known = tools.has(draft.data.tool_call_id);
      tools.add(draft.data.tool_call_id);
      onEvent({ ...draft, type: known ? 'tool.updated' : 'tool.started' });
    } else {
      onEvent(draft);
    }
  }

  return {
    /** Whether the agent said or did anything. */
    answered: () => answered,

    /** `update` of a `session/update`. */
    update(update: unknown): void {
      for (const draft of mapUpdate(update, context)) emit(draft);
    },

    /** Answers a permission request at once, and tells of both. */
    permission(request: RequestPermissionRequest): RequestPermissionResponse {
      if (canceled) return { outcome: { outcome: 'cancelled' } };
      for (const draft of toolCall('tool.started', request.toolCall, context)) emit(draft);
      const { decision, outcome } = decidePermission(mode, request);
      const permission_id = randomUUID();
      onEvent({
        type: 'permission.requested',
        data: {
          permission_id,
          tool_call_id: bounded(request.toolCall.toolCallId, MAX_NAME),
          options: request.options.slice(0, MAX_OPTIONS).map(({ optionId, name, kind }) => ({
            option_id: bounded(optionId, MAX_NAME),
            name: bounded(context.redact(name), MAX_NAME),
            kind,
          })),
          deadline: new Date().toISOString(),
        },
      });
      onEvent({ type: 'permission.resolved', data: { permission_id, decision, by: 'policy' } });
      return { outcome };
    },

    /** A warning: a line that the agent wrote to stderr, or what the server refused it. */
    log(line: string): void {
      logLines += 1;
      if (logLines > MAX_LOG_LINES) return;
      onEvent({ type: 'log', data: { level: 'warn', text: bounded(context.redact(line), MAX_LOG_LINE) } });
    },

    /** From here on, permission requests are answered as canceled. */
    cancel(): void {
      canceled = true;
    },
  };
}
