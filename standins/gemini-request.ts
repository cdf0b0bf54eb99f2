import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** A request as it was recorded; `state` and `status` follow what becomes of it. */
export type ModelRequest = {
  /** Milliseconds since the epoch. */
  time: number;
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  key: string | undefined;
  model: string;
  /** `streamGenerateContent`, `generateContent` or `countTokens`; empty for anything else. */
  operation: string;
  body: GenerateBody;
  /** Tools offered to the model. */
  tools: string[];
  /** The person's newest prompt. */
  prompt: string;
  /** Answers of the model since that prompt. */
  answers: number;
  /** `held`: a turn hangs; `abandoned`: the connection ended before the answer did. */
  state: 'open' | 'held' | 'answered' | 'abandoned';
  status: number | undefined;
};

/** What agents send, as far as it matters here: https://ai.google.dev/api/generate-content */
export type GenerateBody = {
  contents?: Content[];
  systemInstruction?: Content;
  tools?: { functionDeclarations?: { name: string }[] }[];
  generationConfig?: { responseMimeType?: string; responseJsonSchema?: JsonSchema; responseSchema?: JsonSchema };
};
export type Content = { role?: string; parts?: Part[] };
export type Part = {
  text?: string;
  functionCall?: { id?: string; name: string; args: Record<string, unknown> };
  functionResponse?: { id?: string; name: string; response: Record<string, unknown> };
};
export type JsonSchema = {
  type?: string;
  enum?: unknown[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
};

const OPERATION = /^(?:\/v1(?:beta)?)?\/models\/([^/:]+):(streamGenerateContent|generateContent|countTokens)$/;

/** Takes down a request with its body; throws a `SyntaxError` when that is no JSON. */
export function recordRequest(incoming: IncomingMessage, raw: string): ModelRequest {
  const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://stand-in');
  const [, model = '', operation = ''] = OPERATION.exec(pathname) ?? [];
  const body: GenerateBody = raw === '' ? {} : JSON.parse(raw);
  return {
    time: Date.now(),
    method: incoming.method ?? '',
    path: pathname,
    headers: incoming.headers,
    key: incoming.headers['x-goog-api-key']?.toString() ?? searchParams.get('key') ?? undefined,
    model,
    operation,
    body,
    tools: (body.tools ?? []).flatMap((tool) => (tool.functionDeclarations ?? []).map(({ name }) => name)),
    ...position(body.contents ?? []),
    state: 'open',
    status: undefined,
  };
}

/** Texts that Gemini CLI adds of its own accord; no person said them. */
const ADDED_BY_CLI = /^\s*<(session_context|hook_context)>|^(System: )?Please continue\.$/;

function position(contents: Content[]): { prompt: string; answers: number } {
  let answers = 0;
  for (const content of contents.toReversed()) {
    if (content.role === 'model') {
      answers += 1;
      continue;
    }
    const prompt = promptIn(content);
    if (prompt !== '') return { prompt, answers };
  }
  return { prompt: '', answers };
}

/** A prompt may share its content with results of tools: after a restart, Gemini CLI joins neighbours. */
function promptIn({ parts = [] }: Content): string {
  return parts
    .map((part) => part.text ?? '')
    .filter((text) => text !== '' && !ADDED_BY_CLI.test(text))
    .join('\n');
}
