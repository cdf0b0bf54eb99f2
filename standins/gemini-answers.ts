import type { GenerateBody, JsonSchema } from './gemini-request.ts';
import type { Turn } from './gemini-script.ts';

/** Yields the chunks of a turn, with growing token counts like Google's, and a final chunk unless the turn fails. */
export function* chunksOf(turn: Turn, body: GenerateBody): Generator<object> {
  const counts: TokenCounts = { promptTokenCount: turn.usage?.input ?? tokensIn(body), candidatesTokenCount: 0 };
  const texts = typeof turn.text === 'string' ? [turn.text] : (turn.text ?? []);

  if (turn.thought !== undefined) {
    counts.thoughtsTokenCount = turn.usage?.thoughts ?? tokensIn(turn.thought);
    yield chunk([{ text: turn.thought, thought: true }], counts);
  }
  for (const text of texts) {
    counts.candidatesTokenCount += tokensIn(text);
    yield chunk([{ text }], counts);
  }
  if (turn.calls) {
    const parts = turn.calls.map((functionCall) => ({ functionCall }));
    counts.candidatesTokenCount += tokensIn(parts);
    yield chunk(parts, counts);
  }
  if (turn.hang || turn.garbage || turn.reset) return;
  counts.candidatesTokenCount = turn.usage?.output ?? counts.candidatesTokenCount;
  yield chunk([{ text: '' }], counts, turn.finishReason ?? 'STOP');
}

/** Answers a request without a stream, by its schema or with a short text. Routers and checks send such requests. */
export function plainAnswer(body: GenerateBody): object {
  const { responseJsonSchema, responseSchema, responseMimeType } = body.generationConfig ?? {};
  const schema = responseJsonSchema ?? responseSchema ?? { type: 'object' };
  const text = responseMimeType === 'application/json' ? JSON.stringify(minimalValue(schema)) : 'Understood.';
  return chunk([{ text }], { promptTokenCount: tokensIn(body), candidatesTokenCount: tokensIn(text) }, 'STOP');
}

/** Returns the smallest value of a schema. Gemini CLI reads it as: use the fast model, and the user speaks next. */
function minimalValue(schema: JsonSchema): unknown {
  if (schema.enum) return schema.enum[0];
  switch (schema.type?.toLowerCase()) {
    case 'object': {
      const properties = Object.entries(schema.properties ?? {});
      const needed = properties.filter(([name]) => schema.required?.includes(name) ?? true);
      return Object.fromEntries(needed.map(([name, property]) => [name, minimalValue(property)]));
    }
    case 'array':
      return [];
    case 'boolean':
      return false;
    case 'integer':
    case 'number':
      return 1;
    default:
      return '';
  }
}

type TokenCounts = { promptTokenCount: number; candidatesTokenCount: number; thoughtsTokenCount?: number };

function chunk(parts: object[], counts: TokenCounts, finishReason?: string): object {
  const totalTokenCount = counts.promptTokenCount + counts.candidatesTokenCount + (counts.thoughtsTokenCount ?? 0);
  return {
    candidates: [{ content: { role: 'model', parts }, index: 0, ...(finishReason && { finishReason }) }],
    usageMetadata: { ...counts, totalTokenCount },
    modelVersion: 'stand-in',
  };
}

/** Returns an artificial but stable token count: four characters a token. */
export function tokensIn(value: unknown): number {
  return Math.ceil((typeof value === 'string' ? value : JSON.stringify(value)).length / 4);
}

const STATUSES: Record<number, readonly [name: string, message: string]> = {
  400: ['INVALID_ARGUMENT', 'Request contains an invalid argument.'],
  401: ['UNAUTHENTICATED', 'Request had invalid authentication credentials.'],
  403: ['PERMISSION_DENIED', 'The caller does not have permission.'],
  404: ['NOT_FOUND', 'Requested entity was not found.'],
  429: ['RESOURCE_EXHAUSTED', 'You exceeded your current quota, please check your plan and billing details.'],
  500: ['INTERNAL', 'An internal error has occurred.'],
  503: ['UNAVAILABLE', 'The model is overloaded. Please try again later.'],
};

/** Creates an error body of Google's APIs: https://cloud.google.com/apis/design/errors */
export function errorBody(error: NonNullable<Turn['error']>, reason?: string): object {
  const { status, message, retryAfter, quotaId } = error;
  const [name, defaultMessage] = STATUSES[status] ?? ['UNKNOWN', 'An error has occurred.'];
  const details: object[] = [];
  if (reason !== undefined) {
    const metadata = { service: 'generativelanguage.googleapis.com' };
    details.push({ '@type': `${RPC}.ErrorInfo`, reason, domain: 'googleapis.com', metadata });
  }
  if (quotaId !== undefined) details.push({ '@type': `${RPC}.QuotaFailure`, violations: [{ quotaId }] });
  if (retryAfter !== undefined) details.push({ '@type': `${RPC}.RetryInfo`, retryDelay: `${retryAfter}s` });
  return { error: { code: status, message: message ?? defaultMessage, status: name, details } };
}

const RPC = 'type.googleapis.com/google.rpc';
