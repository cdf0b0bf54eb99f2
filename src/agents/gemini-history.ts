import { isRecord } from './acp-updates.ts';
import type { Conversation } from './agent-definition.ts';

type Part = Record<string, unknown>;
type ToolCall = { call: string; failure: string | undefined };

/** The conversation in a request to the Gemini API: https://ai.google.dev/api/generate-content#request-body */
export function readConversation(request: Buffer): Conversation | undefined {
  let body: unknown;
  try {
    body = JSON.parse(request.toString());
  } catch {
    return undefined;
  }
  if (!isRecord(body) || !Array.isArray(body.contents)) return undefined;
  const contents = body.contents.filter(isRecord);
  return {
    length: contents.length,
    repeated: repeatedFailure(contents),
    with(notes) {
      if (notes.length === 0) return request;
      const said = contents.map((content, index) => {
        const texts = notes.filter(({ after }) => placeOf(after, contents) === index);
        return { ...content, parts: [...partsOf(content), ...texts.map(({ text }) => ({ text }))] };
      });
      return Buffer.from(JSON.stringify({ ...body, contents: said }));
    },
  };
}

/**
 * Where words behind the first `after` entries go. In a history that the agent has shortened, its own words may be there:
 * then they go to what it is told next.
 */
function placeOf(after: number, contents: readonly Part[]): number {
  const place = contents.findIndex(({ role }, index) => index + 1 >= after && role !== 'model');
  return place === -1 ? contents.findLastIndex(({ role }) => role !== 'model') : place;
}

/** Gemini CLI tells of commands that fail, and of some other failures, as of successes over ACP; here they are as the model sees them. */
function repeatedFailure(contents: readonly Part[]): Conversation['repeated'] {
  const [newest, ...earlier] = toolCalls(contents).reverse();
  if (newest?.failure === undefined) return undefined;
  const other = earlier.findIndex(({ call, failure }) => call !== newest.call || failure !== newest.failure);
  return { call: newest.call, times: 1 + (other === -1 ? earlier.length : other) };
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
