import { AppError } from '../../errors/app-error.ts';
import { isRecord } from '../../json/is-record.ts';
import { AUTH, secondsToWait } from '../../model-proxy/gemini/api-errors.ts';
import { UNREACHABLE_REMEDY } from '../../model-proxy/gemini/model-api.ts';
import { NOT_FORWARDED } from '../../model-proxy/refusal.ts';
import type { AgentFailure } from '../agent-definition.ts';

const RATE_LIMIT = /rate limit|RESOURCE_EXHAUSTED|exceeded your current quota|exhausted your/i;
const NOT_FOUND = /^models\/\S+ is not found|^Requested entity was not found/;
const UNREACHABLE = /fetch failed|^terminated$|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN/;

/** Classifies an error of Gemini CLI. Over ACP, its `code` is the HTTP status of the model, or negative for JSON-RPC. */
export function classifyGeminiError({ code, message }: AgentFailure): AppError | undefined {
  const reason = reasonOf(message);
  if (reason.startsWith(NOT_FORWARDED)) {
    return new AppError('model_failed', reason, {
      remedy: 'Install the version of the agent that belongs to the server. To use another model, set GEMINI_MODEL.',
    });
  }
  if (code === 401 || code === 403 || AUTH.test(message)) {
    return new AppError('agent_auth', `The model refused the key: ${reason}`);
  }
  if (code === 429 || RATE_LIMIT.test(message)) {
    const retryAfter = secondsToWait(message);
    return new AppError('model_rate_limited', `The model limits the rate: ${reason}`, { retryAfter });
  }
  // Gemini CLI reports these with the code 500.
  if (code === 404 || NOT_FOUND.test(message)) {
    return new AppError('model_failed', `The model was not found: ${reason}`, {
      remedy: 'Set GEMINI_MODEL to a model that the key may use, or remove it.',
    });
  }
  if (UNREACHABLE.test(message)) {
    return new AppError('model_failed', `The connection to the model failed: ${reason}`, {
      remedy: UNREACHABLE_REMEDY,
    });
  }
  if (code !== undefined && code >= 400) return new AppError('model_failed', `The model failed (${code}): ${reason}`);
  return undefined;
}

/** Extracts the message from an error of Google's APIs, which may be JSON: https://cloud.google.com/apis/design/errors */
function reasonOf(message: string): string {
  let reason = message;
  try {
    const parsed: unknown = JSON.parse(message);
    const error = isRecord(parsed) ? parsed.error : undefined;
    if (isRecord(error) && typeof error.message === 'string') reason = error.message;
  } catch {
    // Not JSON.
  }
  return reason.replace(/\s+/g, ' ').trim().slice(0, 300);
}
