import { isRecord } from '../../json/is-record.ts';
import type { Conversation, ModelRequest, Note } from '../model-api.ts';

type Part = Record<string, unknown>;
type ToolCall = { call: string; failure: string | undefined };

/** Longest call of a tool that is reported, in characters. */
const MAX_CALL = 64 * 1024;
const HEAD = '{"contents":[';
/** What follows the last part of an entry: `parts` is its last field. */
const TAIL = ']}';
const OPEN_LIST = '['.charCodeAt(0);

/**
 * Writes a checked request to the Gemini API so that words can be added to it without parsing it again:
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
    return { isAgents: role === 'model', end: length - TAIL.length };
  });
  const rest = JSON.stringify(others).slice(1);
  pieces.push(Buffer.from(`${pieces.length === 0 ? HEAD : ''}]${rest === '}' ? '' : ','}${rest}`));
  return { body: Buffer.concat(pieces), conversation: { entries, repeated: repeatedFailure(contents) } };
}

/** The body with further parts, each behind an entry of its conversation. */
export function addNotes(body: Uint8Array, { entries }: Conversation, notes: readonly Note[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  let written = 0;
  const places = notes.map(({ after, text }) => ({ end: entries[placeOf(after, entries)]?.end, text }));
  for (const { end, text } of places.toSorted((a, b) => (a.end ?? 0) - (b.end ?? 0))) {
    if (end === undefined) continue;
    const isFirst = end > written && body[end - 1] === OPEN_LIST;
    pieces.push(body.subarray(written, end), Buffer.from(`${isFirst ? '' : ','}${JSON.stringify({ text })}`));
    written = end;
  }
  return Buffer.concat([...pieces, body.subarray(written)]);
}

/**
 * Where words behind the first `after` entries go. In a history that the agent has shortened, its own words may be there:
 * then they go to what it is told next.
 */
function placeOf(after: number, entries: Conversation['entries']): number {
  const place = entries.findIndex(({ isAgents }, index) => index + 1 >= after && !isAgents);
  return place === -1 ? entries.findLastIndex(({ isAgents }) => !isAgents) : place;
}

/** Gemini CLI tells of commands that fail, and of some other failures, as of successes over ACP; here they are as the model sees them. */
function repeatedFailure(contents: readonly Part[]): Conversation['repeated'] {
  const [newest, ...earlier] = toolCalls(contents).reverse();
  if (newest?.failure === undefined) return undefined;
  const other = earlier.findIndex(({ call, failure }) => call !== newest.call || failure !== newest.failure);
  return { call: newest.call.slice(0, MAX_CALL), times: 1 + (other === -1 ? earlier.length : other) };
}

/** The calls of tools since the newest prompt, oldest first. A response follows its call, and they come in the same order. */
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
