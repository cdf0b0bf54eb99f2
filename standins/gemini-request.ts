import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** A recorded request; `state` and `status` change with its answer. */
export type ModelRequest = {
  /** Milliseconds since the epoch. */
  time: number;
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  key: string | undefined;
  model: string;
  /** `streamGenerateContent`, `generateContent` or `countTokens`; otherwise empty. */
  operation: string;
  body: GenerateBody;
  /** Tools offered to the model. */
  tools: string[];
  /** The user's newest prompt. */
  prompt: string;
  /** Number of the model's answers since that prompt. */
  answers: number;
  /** `held`: a turn hangs; `abandoned`: the connection closed before the end of the answer. */
  state: 'open' | 'held' | 'answered' | 'abandoned';
  status: number | undefined;
};

/** The relevant parts of a request body: https://ai.google.dev/api/generate-content */
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

/** Records a request with its body. Throws a `SyntaxError` when that is not JSON. */
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
    ...findPrompt(body.contents ?? []),
    state: 'open',
    status: undefined,
  };
}

/** Texts that Gemini CLI adds to the user's prompt. */
const ADDED_BY_CLI = /^\s*<(session_context|hook_context)>|^(System: )?Please continue\.$/;

function findPrompt(contents: Content[]): { prompt: string; answers: number } {
  let answers = 0;
  for (const content of contents.toReversed()) {
    if (content.role === 'model') {
      answers += 1;
      continue;
    }
    const prompt = promptText(content);
    if (prompt !== '') return { prompt, answers };
  }
  return { prompt: '', answers };
}

/** Joins the texts of a prompt. After a restart, Gemini CLI merges a prompt with preceding tool results. */
function promptText({ parts = [] }: Content): string {
  return parts
    .map((part) => part.text ?? '')
    .filter((text) => text !== '' && !ADDED_BY_CLI.test(text))
    .join('\n');
}
