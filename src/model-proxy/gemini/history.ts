import { isRecord } from '../../json/is-record.ts';
import type { Conversation, Hint, ModelRequest } from '../model-api.ts';

type Part = Record<string, unknown>;
type ToolCall = { call: string; failure: string | undefined };

/** Longest tool call in `repeatedFailure`, in characters. */
const MAX_CALL_CHARS = 64 * 1024;
const HEAD = '{"contents":[';
/** Follows the last part of an entry, since `parts` is its last field. */
const TAIL = ']}';
const OPEN_LIST = '['.charCodeAt(0);

/**
 * Serializes a checked request to the Gemini API so that hints can be added without parsing it again:
 * https://ai.google.dev/api/generate-content#request-body
 */
export function withConversation({ contents: list, ...others }: Record<string, unknown>): ModelRequest {
  const contents = Array.isArray(list) ? list.filter(isRecord) : [];
  const pieces = contents.map(({ parts = [], ...content }, index) =>
    Buffer.from(`${index === 0 ? HEAD : ','}${JSON.stringify({ ...content, parts })}`),
  );
  let length = 0;
  const entries = contents.map(({ role }, index) => {
    length += pieces[index]?.length ?? 0;
    return { isAgent: role === 'model', end: length - TAIL.length };
  });
  const rest = JSON.stringify(others).slice(1);
  pieces.push(Buffer.from(`${pieces.length === 0 ? HEAD : ''}]${rest === '}' ? '' : ','}${rest}`));
  return { body: Buffer.concat(pieces), conversation: { entries, repeatedFailure: repeatedFailureIn(contents) } };
}

/** Returns the body with each hint as a further part of an entry. */
export function addHints(body: Uint8Array, { entries }: Conversation, hints: readonly Hint[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  let written = 0;
  const inserts = hints.map(({ after, text }) => ({ end: entries[hintIndex(after, entries)]?.end, text }));
  for (const { end, text } of inserts.toSorted((a, b) => (a.end ?? 0) - (b.end ?? 0))) {
    if (end === undefined) continue;
    const isFirst = end > written && body[end - 1] === OPEN_LIST;
    pieces.push(body.subarray(written, end), Buffer.from(`${isFirst ? '' : ','}${JSON.stringify({ text })}`));
    written = end;
  }
  return Buffer.concat([...pieces, body.subarray(written)]);
}

/**
 * Returns the index of the entry that carries a hint. If the agent has compressed its history, an entry of its own may be at that
 * position; then the next entry that is not its own.
 */
function hintIndex(after: number, entries: Conversation['entries']): number {
  const index = entries.findIndex(({ isAgent }, index) => index + 1 >= after && !isAgent);
  return index === -1 ? entries.findLastIndex(({ isAgent }) => !isAgent) : index;
}

/** Finds failures as the model sees them: over ACP, Gemini CLI reports failed commands and some other failures as successes. */
function repeatedFailureIn(contents: readonly Part[]): Conversation['repeatedFailure'] {
  const [newest, ...earlier] = toolCalls(contents).reverse();
  if (newest?.failure === undefined) return undefined;
  const other = earlier.findIndex(({ call, failure }) => call !== newest.call || failure !== newest.failure);
  return { call: newest.call.slice(0, MAX_CALL_CHARS), times: 1 + (other === -1 ? earlier.length : other) };
}

/** Lists the tool calls since the newest prompt, oldest first. Responses follow their calls, in the same order. */
function toolCalls(contents: readonly Part[]): ToolCall[] {
  const found: ToolCall[] = [];
  let open: string[] = [];
  for (const content of contents) {
    const parts = partsOf(content);
    if (content.role === 'model') {
      open = parts.flatMap(({ functionCall }) =>
        isRecord(functionCall) ? [`${functionCall.name} ${JSON.stringify(functionCall.args ?? {})}`] : [],
      );
      continue;
    }
    const responses = parts.flatMap(({ functionResponse }) => (isRecord(functionResponse) ? [functionResponse] : []));
    if (responses.length === 0) found.length = 0;
    for (const [index, { response }] of responses.entries()) {
      found.push({ call: open[index] ?? '', failure: failureIn(response) });
    }
  }
  return found;
}

function failureIn(response: unknown): string | undefined {
  if (!isRecord(response)) return undefined;
  if (typeof response.error === 'string') return response.error;
  const exitCode = typeof response.output === 'string' && /^Exit Code: (?!0$).*$/m.exec(response.output);
  return exitCode ? exitCode[0] : undefined;
}

function partsOf(content: Part): Part[] {
  return Array.isArray(content.parts) ? content.parts.filter(isRecord) : [];
}
