import type { RequestPermissionRequest, RequestPermissionResponse, ToolKind } from '@agentclientprotocol/sdk';
import type { AgentMode } from './agent-definition.ts';

/** What work on a workspace consists of. Not among them: leaving a mode, and what the agent itself calls `other`. */
const WORK: ReadonlySet<ToolKind> = new Set(['read', 'edit', 'delete', 'move', 'search', 'execute']);

/**
 * The answer to a permission request, which follows from the mode alone: nobody is asked. Never one of the lasting
 * options, which would change what the agent's own policy asks about.
 */
export function decidePermission(
  mode: AgentMode,
  { toolCall, options }: Pick<RequestPermissionRequest, 'toolCall' | 'options'>,
): { decision: 'allow' | 'reject'; outcome: RequestPermissionResponse['outcome'] } {
  const optionOf = (kind: string) => options.find((option) => option.kind === kind)?.optionId;
  const allow = optionOf('allow_once');
  if (mode === 'write' && toolCall.kind && WORK.has(toolCall.kind) && allow !== undefined) {
    return { decision: 'allow', outcome: { outcome: 'selected', optionId: allow } };
  }
  const reject = optionOf('reject_once');
  return {
    decision: 'reject',
    outcome: reject === undefined ? { outcome: 'cancelled' } : { outcome: 'selected', optionId: reject },
  };
}
