import type { ModelRequest } from './gemini-request.ts';

/** What the model says in one answer: what is given, in this order, and then it ends well unless told otherwise. */
export type Turn = {
  thought?: string;
  /** A list is streamed chunk by chunk. */
  text?: string | readonly string[];
  calls?: readonly ToolCall[];
  /** Pause before each chunk, in milliseconds. */
  delayMs?: number;
  /** Google's reason for the end of the answer, such as `MAX_TOKENS`; `STOP` when not given. */
  finishReason?: string;
  /** Tokens to report; made up from the sizes when not given. */
  usage?: { input?: number; output?: number; thoughts?: number };
  /** Answers with this HTTP status instead; `retryAfter` in seconds, `quotaId` names the quota that is exceeded. */
  error?: { status: number; message?: string; retryAfter?: number; quotaId?: string };
  /** After what it says, nothing until released; then the next turn follows in the same answer. */
  hang?: true;
  /** After what it says, something that is no JSON. */
  garbage?: true;
  /** After what it says, the connection breaks. */
  reset?: true;
};

export type ToolCall = { name: string; args: Record<string, unknown> };

/** A part of the newest prompt, a pattern for it, or a decision on the whole request. */
export type Match = string | RegExp | ((request: ModelRequest) => boolean);
export type Script = { match: Match; turns: readonly Turn[] };

const UNSCRIPTED: Turn = { text: ['This is a stand-in for a model, ', 'and no script matches this prompt.'] };
const FINISHED: Turn = { text: 'Done.' };

/**
 * The scripts of a stand-in model; the newest one that matches answers.
 *
 * The place in a script is read off the request: an agent sends the whole conversation each time, so it holds across
 * restarts of the agent. Turns that fail leave nothing in a conversation; these are remembered here, and each is
 * played once for each text that the script matched. A failing turn at the end of a script is played for good.
 */
export function createScripts() {
  const scripts: (Script & { played: Set<string> })[] = [];

  return {
    /** Adds a script; it goes before those that are there. */
    add(match: Match, turns: readonly Turn[]): void {
      scripts.unshift({ match, turns, played: new Set() });
    },

    /** The turns of one answer, to be played as they are taken: one, or several when those before it hang. */
    *turnsFor(request: ModelRequest): Generator<Turn> {
      const script = scripts.find(({ match }) => matchedText(match, request) !== undefined);
      if (!script) {
        yield UNSCRIPTED;
        return;
      }
      let answers = request.answers;
      for (const [index, turn] of script.turns.entries()) {
        if (isAnswer(turn)) {
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

/** Whether the agent keeps what the turn says as an answer of the model. */
function isAnswer(turn: Turn): boolean {
  return (turn.text ?? turn.calls) !== undefined && !(turn.error || turn.hang || turn.garbage || turn.reset);
}

/** What tells the conversations of one script apart: the text that it matched, for a function the whole prompt. */
function matchedText(match: Match, request: ModelRequest): string | undefined {
  if (typeof match === 'string') return request.prompt.includes(match) ? match : undefined;
  if (match instanceof RegExp) return request.prompt.match(match)?.[0];
  return match(request) ? request.prompt : undefined;
}
