import { setTimeout as pause } from 'node:timers/promises';
import { client, methods, PROTOCOL_VERSION, RequestError } from '@agentclientprotocol/sdk';
import { AppError } from '../../errors/app-error.ts';
import { isRecord } from '../../json/is-record.ts';
import { outOfMemoryText } from '../../sandbox/processes/run-process.ts';
import type { SandboxedProcess } from '../../sandbox/types.ts';
import type { AgentDefinition } from '../agent-definition.ts';
import { CANCELED } from './permission-policy.ts';
import { readLines } from './read-lines.ts';
import { createAcpStream } from './stream.ts';
import { createTurn, type Turn, type TurnOptions } from './turn.ts';
import { bounded } from './updates.ts';

/** Longest wait for the mark that a replay has ended. */
const REPLAY_MS = 2000;
/** Longest wait for the end of a process whose pipes have closed. */
const EXIT_MS = 1000;
const MAX_SESSION_ID = 256;
const STOP_REASONS = ['end_turn', 'max_tokens', 'max_turn_requests', 'refusal', 'cancelled'] as const;
/** How many lines of stderr are kept to explain a crash. */
const LAST_LINES = 20;
/** Longest text of an error that is looked at, in bytes. */
const MAX_ERROR = 8 * 1024;

/** Why a turn ended: https://agentclientprotocol.com/protocol/prompt-turn#stop-reasons */
export type StopReason = (typeof STOP_REASONS)[number];

type PromptOptions = Pick<TurnOptions, 'onEvent' | 'ask' | 'drained'>;

export type ConnectionOptions = Omit<TurnOptions, keyof PromptOptions> & {
  process: SandboxedProcess;
  definition: AgentDefinition;
};

/** An agent that is initialised. */
export type Connection = {
  /**
   * Opens the session; to be called once.
   * @param load session to go on with
   * @throws AppError when the agent ends, breaks the protocol or has no access to its model
   */
  open(load: string | undefined): Promise<Session>;
  /** Resolves when the agent answers, with whatever it says; never when it does not. */
  answers(): Promise<void>;
  /** Adds a warning of the server to the turn, if there is one. */
  warn(text: string): void;
};

export type Session = {
  sessionId: string;
  /** Whether it is the session that was to be loaded. */
  continued: boolean;
  /**
   * One turn; every update becomes events while it lasts.
   * @throws AppError for what the model or the agent failed at
   */
  prompt(text: string, turn: PromptOptions): Promise<StopReason>;
  /** Asks the agent to end the turn. */
  cancel(): void;
};

/**
 * Speaks ACP with a process that has just been started, until it is initialised.
 * https://agentclientprotocol.com/protocol/overview
 * @throws AppError when the agent ends or breaks the protocol
 */
export async function connectAgent(options: ConnectionOptions): Promise<Connection> {
  const { process, definition, root, redactor } = options;
  const lastLines: string[] = [];
  const explain = explainer(options, lastLines);
  const replayed = Promise.withResolvers<void>();
  let turn: Turn | undefined;

  void readLines(process.stderr, (line) => {
    lastLines.push(line);
    if (lastLines.length > LAST_LINES) lastLines.shift();
    if (!definition.isNoise(line)) turn?.log(line);
  });
  const stream = createAcpStream(process, definition.title, redactor, (update) => {
    if (isRecord(update) && update.sessionUpdate === definition.replayEndsWith) replayed.resolve();
    // Outside a turn, updates are a replay or news about the session.
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
    if (!isRecord(created) || typeof created.sessionId !== 'string' || created.sessionId.length > MAX_SESSION_ID) {
      throw protocolError(definition, 'it gave no session id');
    }
    return { sessionId: created.sessionId, continued: false };
  }

  async function loadSession(sessionId: string): Promise<boolean> {
    try {
      await agent.request(methods.agent.session.load, { sessionId, cwd: root, mcpServers: [] });
    } catch (error) {
      // The agent does not know the session any more; that is no reason to give up.
      if (error instanceof RequestError) return false;
      throw error;
    }
    if (definition.replayEndsWith !== undefined) {
      await Promise.race([replayed.promise, pause(REPLAY_MS, undefined, { ref: false })]);
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

        async prompt(text, { onEvent, ask, drained }) {
          const current = createTurn({ ...options, onEvent, ask, drained });
          turn = current;
          try {
            const answer: unknown = await agent.request(methods.agent.session.prompt, {
              sessionId,
              prompt: [{ type: 'text', text: definition.promptText(text) }],
            });
            const stopReason = isRecord(answer) && STOP_REASONS.find((reason) => reason === answer.stopReason);
            if (!stopReason) throw protocolError(definition, 'it did not say why the turn ended');
            if (stopReason === 'refusal') throw new AppError('agent_refused', 'The model refused to answer.');
            if (stopReason === 'end_turn' && !current.answered()) {
              throw new AppError('agent_refused', 'The model gave no answer; its safety filter may have held it back.');
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
            // The agent is gone, and with it what was to be canceled.
          });
        },
      };
    },

    async answers() {
      // No agent knows the method, and every one that lives says so.
      await agent.request('_pullwright/answers').catch((error) => {
        if (!(error instanceof RequestError)) throw error;
      });
    },

    warn: (text) => turn?.log(text),
  };
}

/**
 * Turns what went wrong with a process, as the SDK throws it, into what it means.
 * @param lastLines of its stderr, as they are when it ends
 */
function explainer(
  { process, definition, redactor }: ConnectionOptions,
  lastLines: readonly string[],
): (error: unknown) => Promise<never> {
  return async (error) => {
    if (error instanceof AppError) throw error;
    if (error instanceof RequestError) {
      const message = bounded(redactor.text(detailOf(error)), MAX_ERROR);
      const meaning = definition.classifyError({ code: error.code, message });
      throw meaning ?? protocolError(definition, `${message} (${error.code})`, error);
    }
    // The connection is gone. The pipes close a little before the process is known to have ended.
    const exit = await Promise.race([process.exited, pause(EXIT_MS, undefined, { ref: false })]);
    if (!exit) throw protocolError(definition, error instanceof Error ? error.message : String(error), error);
    const words = redactor.text(lastLines.join('\n'));
    const how = exit.signal ?? `exit code ${exit.code}`;
    const cause = new Error(words, { cause: error });
    if (exit.outOfMemory) throw new AppError('out_of_memory', outOfMemoryText(exit.outOfMemory.limitMib), { cause });
    throw (
      definition.classifyError({ message: words }) ??
      new AppError('agent_crashed', `${definition.title} ended unexpectedly (${how}).`, { cause })
    );
  };
}

/** Agents put what happened into `data.details` when the message is only "Internal error". */
function detailOf({ message, data }: RequestError): string {
  return isRecord(data) && typeof data.details === 'string' ? data.details : message;
}

function protocolError({ title }: AgentDefinition, what: string, cause?: unknown): AppError {
  return new AppError('agent_protocol', `${title} broke the protocol: ${what.slice(0, 300)}.`, { cause });
}
