import { setTimeout as pause } from 'node:timers/promises';
import { client, methods, PROTOCOL_VERSION, RequestError } from '@agentclientprotocol/sdk';
import { AppError } from '../../errors/app-error.ts';
import { isRecord } from '../../json/is-record.ts';
import { outOfMemoryText } from '../../sandbox/processes/run-process.ts';
import type { SandboxedProcess } from '../../sandbox/types.ts';
import type { AgentDefinition } from '../agent-definition.ts';
import type { TurnListener } from '../turn/listener.ts';
import { CANCELED } from './permission-policy.ts';
import { readLines } from './read-lines.ts';
import { createAcpStream } from './stream.ts';
import { createTurn, type Turn, type TurnContext } from './turn.ts';
import { truncate } from './updates.ts';

/** Wait for the update that ends a replay. */
const REPLAY_TIMEOUT_MS = 2000;
/** Wait for the exit of a process whose pipes have closed. */
const EXIT_TIMEOUT_MS = 1000;
const MAX_ID_CHARS = 256;
const STOP_REASONS = ['end_turn', 'max_tokens', 'max_turn_requests', 'refusal', 'cancelled'] as const;
/** Lines of stderr kept to explain a crash. */
const MAX_LAST_LINES = 20;
const MAX_ERROR_BYTES = 8 * 1024;

/** Why a turn ended: https://agentclientprotocol.com/protocol/prompt-turn#stop-reasons */
export type StopReason = (typeof STOP_REASONS)[number];

export type ConnectionOptions = TurnContext & {
  process: SandboxedProcess;
  definition: AgentDefinition;
};

/** A connection to an initialised agent. */
export type Connection = {
  /**
   * Opens the session; called once.
   * @param load the session to continue
   * @throws AppError when the agent exits, violates the protocol or has no access to its model
   */
  open(load: string | undefined): Promise<Session>;
  /** Resolves with the agent's response, also to an error; never if it does not respond. */
  ping(): Promise<void>;
  /** Logs a warning of the server in the turn, if one is running. */
  warn(text: string): void;
};

export type Session = {
  sessionId: string;
  /** Whether it is the loaded session. */
  continued: boolean;
  /**
   * Runs one turn. Emits the agent's updates as events.
   * @throws AppError for failures of the model or the agent
   */
  prompt(text: string, listener: TurnListener): Promise<StopReason>;
  /** Requests the agent to end the turn. */
  cancel(): void;
};

/**
 * Connects to a new process over ACP and initialises it: https://agentclientprotocol.com/protocol/overview
 * @throws AppError when the agent exits or violates the protocol
 */
export async function connectAgent(options: ConnectionOptions): Promise<Connection> {
  const { process, definition, root, redactor } = options;
  const lastLines: string[] = [];
  const explain = explainer(options, lastLines);
  const replayed = Promise.withResolvers<void>();
  let turn: Turn | undefined;

  void readLines(process.stderr, (line) => {
    lastLines.push(line);
    if (lastLines.length > MAX_LAST_LINES) lastLines.shift();
    if (!definition.isNoise(line)) turn?.log(line);
  });
  const stream = createAcpStream(process, definition.title, redactor, (update) => {
    if (isRecord(update) && update.sessionUpdate === definition.replayEndsWith) replayed.resolve();
    // Between turns, updates are a replay or concern the session.
    return turn?.update(update);
  });
  const { agent } = client({ name: 'pullwright' })
    .onRequest(
      methods.client.session.requestPermission,
      ({ params }) => turn?.permission(params) ?? { outcome: CANCELED },
    )
    .connect(stream);

  async function begin(load: string | undefined): Promise<Pick<Session, 'sessionId' | 'continued'>> {
    if (load !== undefined && (await loadSession(load))) return { sessionId: load, continued: true };
    // The SDK does not check what agents answer.
    const created: unknown = await agent.request(methods.agent.session.new, { cwd: root, mcpServers: [] });
    if (!isRecord(created) || typeof created.sessionId !== 'string' || created.sessionId.length > MAX_ID_CHARS) {
      throw protocolError(definition, 'it returned no session id');
    }
    return { sessionId: created.sessionId, continued: false };
  }

  async function loadSession(sessionId: string): Promise<boolean> {
    try {
      await agent.request(methods.agent.session.load, { sessionId, cwd: root, mcpServers: [] });
    } catch (error) {
      // The agent no longer has the session.
      if (error instanceof RequestError) return false;
      throw error;
    }
    if (definition.replayEndsWith !== undefined) {
      await Promise.race([replayed.promise, pause(REPLAY_TIMEOUT_MS, undefined, { ref: false })]);
    }
    return true;
  }

  await agent
    .request(methods.agent.initialize, {
      protocolVersion: PROTOCOL_VERSION,
      clientInfo: { name: 'pullwright', version: '1' },
      clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
    })
    .catch(explain);

  return {
    async open(load) {
      const { sessionId, continued } = await begin(load).catch(explain);
      return {
        sessionId,
        continued,

        async prompt(text, listener) {
          const current = createTurn(options, listener);
          turn = current;
          try {
            const answer: unknown = await agent.request(methods.agent.session.prompt, {
              sessionId,
              prompt: [{ type: 'text', text: definition.promptText(text) }],
            });
            const stopReason = isRecord(answer) && STOP_REASONS.find((reason) => reason === answer.stopReason);
            if (!stopReason) throw protocolError(definition, 'it returned no known stop reason');
            if (stopReason === 'refusal') throw new AppError('agent_refused', 'The model refused to answer.');
            if (stopReason === 'end_turn' && !current.answered()) {
              throw new AppError('agent_refused', 'The model gave no answer. Its safety filter may have blocked it.');
            }
            return stopReason;
          } catch (error) {
            return await explain(error);
          } finally {
            current.end();
            turn = undefined;
          }
        },

        cancel() {
          turn?.end();
          agent.notify(methods.agent.session.cancel, { sessionId }).catch(() => {
            // The agent has exited, and the turn with it.
          });
        },
      };
    },

    async ping() {
      // No agent has this method, so a running one responds with an error.
      await agent.request('_pullwright/answers').catch((error) => {
        if (!(error instanceof RequestError)) throw error;
      });
    },

    warn: (text) => turn?.log(text),
  };
}

/**
 * Creates a function that throws the meaning of an error of the SDK.
 * @param lastLines the newest lines of stderr
 */
function explainer(
  { process, definition, redactor }: ConnectionOptions,
  lastLines: readonly string[],
): (error: unknown) => Promise<never> {
  return async (error) => {
    if (error instanceof AppError) throw error;
    if (error instanceof RequestError) {
      const message = truncate(redactor.text(detailOf(error)), MAX_ERROR_BYTES);
      const meaning = definition.classifyError({ code: error.code, message });
      throw meaning ?? protocolError(definition, `${message} (${error.code})`, error);
    }
    // The connection has closed. The pipes close a little before the process exits.
    const exit = await Promise.race([process.exited, pause(EXIT_TIMEOUT_MS, undefined, { ref: false })]);
    if (!exit) throw protocolError(definition, error instanceof Error ? error.message : String(error), error);
    const words = redactor.text(lastLines.join('\n'));
    const how = exit.signal ?? `exit code ${exit.code}`;
    const cause = new Error(words, { cause: error });
    if (exit.outOfMemory) throw new AppError('out_of_memory', outOfMemoryText(exit.outOfMemory.limitMib), { cause });
    throw (
      definition.classifyError({ message: words }) ??
      new AppError('agent_crashed', `${definition.title} exited unexpectedly (${how}).`, { cause })
    );
  };
}

/** Agents give the reason in `data.details` when the message is only "Internal error". */
function detailOf({ message, data }: RequestError): string {
  return isRecord(data) && typeof data.details === 'string' ? data.details : message;
}

function protocolError({ title }: AgentDefinition, fault: string, cause?: unknown): AppError {
  return new AppError('agent_protocol', `${title} violated the protocol: ${fault.slice(0, 300)}.`, { cause });
}
