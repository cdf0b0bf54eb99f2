import { AppError } from '../../errors/app-error.ts';
import { isRecord } from '../../json/is-record.ts';
import { AUTH, secondsToWait } from '../../model-proxy/gemini/api-errors.ts';
import { NOT_FORWARDED } from '../../model-proxy/refusal.ts';
import type { AgentFailure } from '../agent-definition.ts';

const RATE_LIMIT = /rate limit|RESOURCE_EXHAUSTED|exceeded your current quota|exhausted your/i;
const NOT_FOUND = /^models\/\S+ is not found|^Requested entity was not found/;
const UNREACHABLE = /fetch failed|^terminated$|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN/;

/** What an error of Gemini CLI means. Over ACP, its `code` is the HTTP status of the model, or one of JSON-RPC (< 0). */
export function classifyGeminiError({ code, message }: AgentFailure): AppError | undefined {
  const said = wordsOf(message);
  if (said.startsWith(NOT_FORWARDED)) {
    return new AppError('model_failed', said, {
      remedy:
        'Use the version of the agent that the server was installed with, and for another model set GEMINI_MODEL.',
    });
  }
  if (code === 401 || code === 403 || AUTH.test(message)) {
    return new AppError('agent_auth', `The model refused the key: ${said}`);
  }
  if (code === 429 || RATE_LIMIT.test(message)) {
    const retryAfter = secondsToWait(message);
    return new AppError('model_rate_limited', `The model limits the rate: ${said}`, {
      ...(retryAfter === undefined ? {} : { retryAfter }),
    });
  }
  // Gemini CLI tells of these with the code 500.
  if (code === 404 || NOT_FOUND.test(message)) {
    return new AppError('model_failed', `The model was not found: ${said}`, {
      remedy: 'Set GEMINI_MODEL to a model that the key may use, or leave it out.',
    });
  }
  if (UNREACHABLE.test(message)) {
    return new AppError('model_failed', `The connection to the model failed: ${said}`, {
      remedy: 'Check the network of the server, and GOOGLE_GEMINI_BASE_URL if it is set.',
    });
  }
  if (code !== undefined && code >= 400) return new AppError('model_failed', `The model answered ${code}: ${said}`);
  return undefined;
}

/** The sentence in an error of Google's APIs, which may be wrapped in JSON: https://cloud.google.com/apis/design/errors */
function wordsOf(message: string): string {
  let words = message;
  try {
    const parsed: unknown = JSON.parse(message);
    const error = isRecord(parsed) ? parsed.error : undefined;
    if (isRecord(error) && typeof error.message === 'string') words = error.message;
  } catch {
    // It is the sentence itself.
  }
  return words.replace(/\s+/g, ' ').trim().slice(0, 300);
}
