import type { AgentInfo } from '../../schemas/agent.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import { createUpstream } from '../model-proxy/upstream.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { AgentDefinition } from './agent-definition.ts';
import { describeAgent } from './agent-info.ts';
import { deleteConversations } from './conversations.ts';
import { gemini } from './gemini/gemini.ts';
import type { AgentRequest } from './pool/acquire.ts';
import { type AgentPoolDeps, createAgentPool } from './pool/agent-pool.ts';
import type { TurnListener } from './turn/listener.ts';
import { type PromptRequest, type PromptResult, runTurn } from './turn/run-turn.ts';

export type Agents = ReturnType<typeof createAgents>;

export type AgentsDependencies = {
  config: AgentPoolDeps['config'] & Pick<Config, 'AGENT'>;
  sandbox: Sandbox;
  redactor: Redactor;
  logger?: Logger;
  /** Environment of the server, whose proxies are used on the way to the model. */
  parentEnv?: Readonly<Record<string, string | undefined>>;
  definitions?: readonly AgentDefinition[];
};

/** Creates the agents of tickets. Their conversations outlive their processes, whose states `pool/agent-pool.ts` describes. */
export function createAgents(dependencies: AgentsDependencies) {
  const { config, sandbox, redactor, logger, parentEnv = {}, definitions = [gemini] } = dependencies;
  const turns = new Map<string, { abort: AbortController; done: Promise<unknown> }>();
  const upstream = createUpstream(parentEnv);
  const defaultAgent = definitions.find(({ name }) => name === config.AGENT);
  const pool = createAgentPool({ config, sandbox, redactor, logger, upstream, defaultAgent });
  let closing = false;

  function definitionOf(name: string): AgentDefinition {
    const definition = definitions.find((candidate) => candidate.name === name);
    if (!definition) throw new AppError('agent_not_found', `There is no agent named ${JSON.stringify(name)}.`);
    return definition;
  }

  /** Closes the agents of a ticket; its conversation is kept. */
  async function closeTicket(ticketId: string): Promise<void> {
    const turn = turns.get(ticketId);
    turn?.abort.abort(new AppError('canceled', 'The server closed the agent.'));
    await turn?.done;
    await pool.closeTicket(ticketId);
  }

  return {
    list: (): Promise<AgentInfo[]> =>
      Promise.all(definitions.map((definition) => describeAgent(definition, config, sandbox))),
    /** Returns why an agent cannot work on this machine, if so. Starts no process. */
    check: async (name: string) => definitionOf(name).check(config),
    has: (name: string) => definitions.some((definition) => definition.name === name),

    /**
     * Runs one turn of a ticket's agent, which is started, reused or replaced. Usage is notified as `usage.updated`, the running
     * total of the turn, even when the turn fails.
     * @throws AppError; when the signal is aborted, its reason if that is an AppError, else `canceled`, after the agent with all
     * its processes has closed
     */
    async prompt(request: PromptRequest, listener: TurnListener): Promise<PromptResult> {
      const { ticketId } = request;
      if (closing) throw new AppError('shutting_down', 'The server is stopping.');
      if (turns.has(ticketId)) throw new AppError('ticket_busy', `The agent of ticket ${ticketId} is working.`);
      const abort = new AbortController();
      const turn = runTurn(pool, definitionOf(request.agent), request, listener, abort);
      turns.set(ticketId, { abort, done: turn.catch(() => {}) });
      try {
        return await turn;
      } finally {
        turns.delete(ticketId);
      }
    },

    start: pool.start,
    pool: pool.state,
    claimSpare: pool.claimSpare,
    attachSpare: pool.attachSpare,

    /** Starts an agent in mode `write` for a run that is likely to follow soon. */
    async prestartWriter(request: Omit<AgentRequest, 'mode'> & { agent: string }): Promise<void> {
      if (closing || turns.has(request.ticketId)) return;
      await pool.prestartWriter(definitionOf(request.agent), { ...request, mode: 'write' });
    },

    closeTicket,

    /** Closes the agents of a ticket and deletes its conversation. */
    async purge(ticketId: string): Promise<void> {
      await closeTicket(ticketId);
      await deleteConversations(config, sandbox, logger, ticketId);
    },

    /** Deletes the conversation of a ticket that has no agent. @returns whether a conversation was deleted */
    async deleteConversation(ticketId: string): Promise<boolean> {
      if (turns.has(ticketId) || pool.has(ticketId)) return false;
      return deleteConversations(config, sandbox, logger, ticketId);
    },

    /** Closes all agents. */
    async close(): Promise<void> {
      closing = true;
      await Promise.all([...turns.keys(), ...pool.ticketIds()].map(closeTicket));
      await pool.close();
      upstream.close();
    },
  };
}
