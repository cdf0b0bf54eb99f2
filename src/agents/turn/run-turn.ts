import { setTimeout as pause } from 'node:timers/promises';
import type { Usage } from '../../../schemas/run.ts';
import { abortable, canceled } from '../../concurrency/abortable.ts';
import { AppError } from '../../errors/app-error.ts';
import type { ModelTurn } from '../../model-proxy/model-turn.ts';
import type { Session, StopReason } from '../acp/session.ts';
import type { AgentDefinition } from '../agent-definition.ts';
import type { AcquiredAgent, AgentRequest } from '../pool/acquire.ts';
import type { AgentPool } from '../pool/agent-pool.ts';
import type { TurnListener } from './listener.ts';
import { meterTurn } from './meter.ts';

/** Time in which an agent may end a canceled turn itself, which keeps its conversation tidy. */
const CANCEL_TIMEOUT_MS = 1000;

const CONVERSATION_REPLACED =
  'The agent failed to open its conversation for this ticket. It starts a new one, and the prompt repeats earlier messages.';

/** Errors after which the process is gone or unreliable. */
const FATAL: ReadonlySet<string> = new Set([
  ...['agent_crashed', 'agent_protocol', 'agent_unavailable', 'agent_auth', 'out_of_memory'],
]);

export type PromptRequest = AgentRequest &
  Pick<ModelTurn, 'limits' | 'hints'> & {
    runId: string;
    /** Name of the agent. */
    agent: string;
    /** Returns the prompt. @param continued whether the agent remembers the conversation */
    text(continued: boolean): string | Promise<string>;
    signal: AbortSignal;
  };

export type PromptResult = {
  sessionId: string;
  stopReason: StopReason;
  /** Tokens of this turn, as in the last `usage.updated`. */
  usage: Usage;
  /** Whether the session to continue could not be loaded, so that this one is new. */
  transcriptLost: boolean;
};

type Pool = Pick<AgentPool, 'acquire' | 'release' | 'closeTicketAgent'>;

/**
 * Runs one turn of a ticket's agent.
 * @param abort aborts the turn
 * @throws AppError; the reason of a signal that was aborted
 */
export async function runTurn(
  pool: Pool,
  definition: AgentDefinition,
  request: PromptRequest,
  listener: TurnListener,
  abort: AbortController,
): Promise<PromptResult> {
  let signal = AbortSignal.any([request.signal, abort.signal]);
  try {
    const acquired = await pool.acquire(definition, request, signal);
    signal = AbortSignal.any([signal, acquired.agent.exceeded]);
    return await prompt(pool, acquired, request, listener, { abort, signal });
  } catch (error) {
    throw signal.aborted ? canceled(signal) : error;
  }
}

async function prompt(
  pool: Pool,
  { agent, session, continued, isConversationReplaced }: AcquiredAgent,
  request: PromptRequest,
  listener: TurnListener,
  { abort, signal }: { abort: AbortController; signal: AbortSignal },
): Promise<PromptResult> {
  const { ticketId } = request;
  const { sessionId } = session;
  const meter = meterTurn(agent, request, listener, abort);
  let turn: ReturnType<Session['prompt']> | undefined;
  try {
    listener.notify({ type: 'session', sessionId });
    if (isConversationReplaced) {
      const data = { level: 'warn', text: CONVERSATION_REPLACED } as const;
      listener.notify({ type: 'event', draft: { type: 'log', data } });
    }
    turn = session.prompt(await request.text(continued), listener);
    const stopReason = await abortable(turn, signal);
    meter.end();
    const failure = meter.failure();
    if (failure) throw failure;
    await pool.release(ticketId);
    const transcriptLost = request.sessionId !== undefined && !continued;
    return { sessionId, stopReason, usage: meter.usage, transcriptLost };
  } catch (thrown) {
    const error = meter.failure() ?? thrown;
    if (signal.aborted) {
      session.cancel();
      await Promise.race([turn?.catch(() => {}), pause(CANCEL_TIMEOUT_MS, undefined, { ref: false })]);
      await pool.closeTicketAgent(ticketId);
    } else if (error instanceof AppError && FATAL.has(error.code)) {
      await pool.closeTicketAgent(ticketId);
    } else {
      await pool.release(ticketId);
    }
    throw error;
  } finally {
    meter.end();
  }
}
