import type { ModelRequest } from './gemini-request.ts';

/** One answer of the model: the given parts in this order, then a regular end unless another field prevents it. */
export type Turn = {
  thought?: string;
  /** A list is streamed chunk by chunk. */
  text?: string | readonly string[];
  calls?: readonly ToolCall[];
  /** Pause before each chunk, in milliseconds. */
  delayMs?: number;
  /** Google's `finishReason`, such as `MAX_TOKENS`; default: `STOP`. */
  finishReason?: string;
  /** Token counts to report; default: derived from the sizes. */
  usage?: { input?: number; output?: number; thoughts?: number };
  /** Answers with this HTTP status instead. `retryAfter`: seconds; `quotaId`: the exceeded quota. */
  error?: { status: number; message?: string; retryAfter?: number; quotaId?: string };
  /** Then waits until released, and continues the same answer with the next turn. */
  hang?: true;
  /** Then sends invalid JSON. */
  garbage?: true;
  /** Then breaks the connection. */
  reset?: true;
};

export type ToolCall = { name: string; args: Record<string, unknown> };

/** A part of the newest prompt, a pattern for it, or a predicate on the request. */
export type Match = string | RegExp | ((request: ModelRequest) => boolean);
export type Script = { match: Match; turns: readonly Turn[] };

const UNSCRIPTED: Turn = { text: ['This is a stand-in for a model, ', 'and no script matches this prompt.'] };
const FINISHED: Turn = { text: 'Done.' };

/**
 * Creates the scripts of a stand-in model. The newest matching script answers.
 *
 * The position in a script follows from the conversation in each request, so it survives restarts of the agent. Failing
 * turns leave no trace in a conversation. The stand-in counts them itself: each plays once for each text that the script
 * matched. A failing turn at the end of a script repeats.
 */
export function createScripts() {
  const scripts: (Script & { played: Set<string> })[] = [];

  return {
    /** Adds a script, which takes precedence over earlier ones. */
    add(match: Match, turns: readonly Turn[]): void {
      scripts.unshift({ match, turns, played: new Set() });
    },

    /** Yields the turns of one answer: one, or several when the previous ones hang. */
    *turnsFor(request: ModelRequest): Generator<Turn> {
      const script = scripts.find(({ match }) => matchedText(match, request) !== undefined);
      if (!script) {
        yield UNSCRIPTED;
        return;
      }
      let answers = request.answers;
      for (const [index, turn] of script.turns.entries()) {
        if (isRemembered(turn)) {
          if (answers === 0) {
            yield turn;
            return;
          }
          answers -= 1;
        } else if (answers === 0) {
          const play = `${index} ${matchedText(script.match, request)}`;
          if (script.played.has(play) && index < script.turns.length - 1) continue;
          script.played.add(play);
          yield turn;
          if (!turn.hang) return;
        }
      }
      yield FINISHED;
    },
  };
}

/** Returns whether the agent keeps a turn in its conversation. */
function isRemembered(turn: Turn): boolean {
  return (turn.text ?? turn.calls) !== undefined && !(turn.error || turn.hang || turn.garbage || turn.reset);
}

/** Returns the text that distinguishes conversations of one script: the matched text, or the prompt for a function. */
function matchedText(match: Match, request: ModelRequest): string | undefined {
  if (typeof match === 'string') return request.prompt.includes(match) ? match : undefined;
  if (match instanceof RegExp) return request.prompt.match(match)?.[0];
  return match(request) ? request.prompt : undefined;
}
