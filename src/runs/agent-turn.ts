import type { EventDraft } from '../../schemas/event.ts';
import type { Usage } from '../../schemas/run.ts';
import type { AgentMode } from '../agents/agent-definition.ts';
import type { Agents } from '../agents/agents.ts';
import type { TurnListener, TurnNotification } from '../agents/turn/listener.ts';
import type { PromptRequest } from '../agents/turn/run-turn.ts';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Store } from '../store/open-store.ts';
import type { RunRow } from '../store/schema.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';
import { createAnswer } from './answer.ts';
import { createInactivityTimer } from './inactivity-timer.ts';
import type { Permissions } from './permissions.ts';
import { repeatedFailureHint, wrapUpHint } from './prompts.ts';
import type { ActionDeps } from './run-context.ts';
import { runLimits } from './run-limits.ts';
import type { Progress, RunWriter } from './run-writer.ts';

export type Turn = {
  run: RunRow;
  mode: AgentMode;
  /** Returns the prompt, with the earlier exchanges if the agent has lost the conversation. */
  prompt: (conversation: { request: string; answer: string }[]) => string;
  writer: RunWriter;
  signal: AbortSignal;
};

type Deps = {
  config: ActionDeps['config'];
  store: Store;
  workspaces: Workspaces;
  agents: Agents;
  permissions: Permissions;
  redactor: Redactor;
};

/**
 * Sends one prompt to the ticket's agent, in the ticket's conversation, and emits its updates as events of the run. Near a
 * limit of the run, a hint asks the agent to finish. An inactive agent is aborted.
 * @returns the answer, one text for each stretch between tool calls
 * @throws AppError an error of the agent or its model; the signal's reason when aborted
 */
export async function takeTurn(deps: Deps, turn: Turn): Promise<string[]> {
  const { config, store, workspaces, agents, permissions, redactor } = deps;
  const { run, writer } = turn;
  const [{ workspace, gitDir, mirror }, sessionId] = await Promise.all([
    workspaces.paths(run.ticket_id),
    store.runs.lastSessionId(run.ticket_id, run.agent),
  ]);
  const before = writer.usage;
  const answer = createAnswer();
  const inactive = new AbortController();
  const inactivity = createInactivityTimer(config.AGENT_SILENCE_SECONDS, (error) => inactive.abort(error));

  const onEvent = (draft: EventDraft): void => {
    inactivity.touch(draft);
    answer.add(draft);
    if (draft.type === 'usage.updated') {
      const total = add(before, draft.data);
      writer.setUsage(total);
      writer.emit({ type: 'usage.updated', data: { ...draft.data, ...total } });
    } else {
      writer.emit(draft);
    }
  };

  const spent = { usage: before, turns: writer.progress.turns ?? 0, seconds: writer.spentMs() / 1000 };
  const ask = permissions.asker(writer, turn.signal);
  const notify = (notification: TurnNotification): void => {
    switch (notification.type) {
      case 'session':
        writer.setSession(notification.sessionId);
        inactivity.touchModel();
        break;
      case 'event':
        onEvent(notification.draft);
        break;
      case 'modelCall':
        inactivity.touchModel();
        writer.addTurn();
        break;
      case 'retry':
        inactivity.extend(notification.waitSeconds);
        break;
      case 'limitNear': {
        const { limit } = notification;
        // One event, even if several turns come near the same limit.
        if (writer.progress.cutShort?.setting !== limit.setting) writer.emit({ type: 'run.limit_near', data: limit });
        writer.progress.cutShort ??= limit;
        break;
      }
      case 'repeatedFailure': {
        const { call, times } = notification;
        const text = `The same call failed ${times} times in a row, so the agent got a hint: ${call}`;
        onEvent({ type: 'log', data: { level: 'warn', text } });
      }
    }
  };

  const request: PromptRequest = {
    ticketId: run.ticket_id,
    runId: run.run_id,
    agent: run.agent,
    mode: turn.mode,
    workspace,
    git: { dir: gitDir, mirror },
    sessionId,
    text: async (continued) => turn.prompt(continued ? [] : await earlierExchanges(store, run)),
    limits: await runLimits(config, store, run, spent),
    hints: {
      limitNear: (limit) => wrapUpHint(run.action, turn.mode, limit),
      repeatedFailure: repeatedFailureHint,
    },
    signal: AbortSignal.any([turn.signal, inactive.signal]),
  };
  const listener: TurnListener = {
    notify,
    ask: (question, ended) => inactivity.suspend(() => ask(question, ended)),
    drained: writer.drained,
  };
  const { stopReason } = await agents.prompt(request, listener).finally(inactivity.stop);
  await writer.save();
  if (stopReason !== 'end_turn') {
    throw new AppError('agent_stopped', `The agent stopped early (${stopReason}).`);
  }
  return answer.segments().map(redactor.text);
}

function add(a: Usage, b: Usage): Usage {
  return {
    input_tokens: a.input_tokens + b.input_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
    cached_tokens: a.cached_tokens + b.cached_tokens,
  };
}

async function earlierExchanges(store: Store, run: RunRow): Promise<{ request: string; answer: string }[]> {
  const ended = await store.runs.recentFinished(run.ticket_id, 20);
  return ended.flatMap((earlier) => {
    const { agent }: Progress = JSON.parse(earlier.progress);
    if (agent === undefined || agent.text === '') return [];
    return [{ request: [earlier.action, earlier.message].filter(Boolean).join(': '), answer: agent.text }];
  });
}
