import { readGeminiRequest } from './gemini/request.ts';
import type { ModelCall, ModelRequest, RequestFormat, RequestReader } from './model-api.ts';

const READERS: Record<RequestFormat, RequestReader> = { gemini: readGeminiRequest };

/** Why a call is not forwarded, with the HTTP status for the agent. */
export type Refusal = { status: 400 | 403 | 413; reason: string };
export type ReadResult = ModelRequest | Refusal;

/** The part of a call that decides how its body is read. */
export type RequestKind = { format: RequestFormat } & Pick<ModelCall, 'model' | 'usesTokens' | 'isConversation'>;

/** Parses the body of a call, already bounded by `createJsonScan`, and checks it against the allow-list of its API. */
export function parseBody(body: Uint8Array, { format, ...call }: RequestKind): ReadResult {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString());
  } catch {
    return { status: 400, reason: 'its body is not JSON' };
  }
  const read = READERS[format](parsed, call);
  return 'refused' in read ? { status: 403, reason: `it must not contain ${read.refused}` } : read;
}
