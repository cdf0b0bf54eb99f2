import type { Config } from '../../config/load-config.ts';
import { isRecord } from '../../json/is-record.ts';
import type { ModelApi } from '../model-api.ts';
import { classifyGeminiFailure } from './api-errors.ts';
import { addHints } from './history.ts';
import { geminiModels } from './models.ts';

const PUBLIC_API = 'https://generativelanguage.googleapis.com';
export const UNREACHABLE_REMEDY = 'Check the network of the server, and GOOGLE_GEMINI_BASE_URL if it is set.';

/** Calls that generate content or count tokens, not those that list, upload, tune or cache: https://ai.google.dev/api */
const CALL =
  /^\/v1(?:alpha|beta)?\/models\/([a-zA-Z0-9][\w.-]{0,99}):(generateContent|streamGenerateContent|countTokens)(?:\?alt=(?:sse|json))?$/;

/** Creates the Gemini API, at the relay of GOOGLE_GEMINI_BASE_URL if it is set. */
export function geminiModel({
  GEMINI_API_KEY = '',
  GEMINI_MODEL,
  GOOGLE_GEMINI_BASE_URL = PUBLIC_API,
}: Pick<Config, 'GEMINI_API_KEY' | 'GEMINI_MODEL' | 'GOOGLE_GEMINI_BASE_URL'>): ModelApi {
  const base = GOOGLE_GEMINI_BASE_URL.replace(/\/+$/, '');
  return {
    format: 'gemini',
    keyHeader: 'x-goog-api-key',
    key: GEMINI_API_KEY,
    forwardedHeaders: ['x-goog-api-client'],
    models: geminiModels(GEMINI_MODEL),
    unreachableRemedy: UNREACHABLE_REMEDY,

    call(method, target) {
      const [, model, operation] = (method === 'POST' && CALL.exec(target)) || [];
      if (model === undefined) return undefined;
      const url = new URL(base + target);
      const isConversation = operation === 'streamGenerateContent';
      return { url, model, usesTokens: operation !== 'countTokens', isConversation };
    },

    usage: usageIn,
    errorBody: (code, message) => ({
      error: { code, message, status: code === 403 ? 'PERMISSION_DENIED' : 'UNKNOWN' },
    }),
    classifyFailure: classifyGeminiFailure,
    addHints,
  };
}

/** Reads https://ai.google.dev/api/generate-content#UsageMetadata, whose prompt tokens include the cached ones. */
function usageIn(response: unknown) {
  const counts = isRecord(response) ? response.usageMetadata : undefined;
  if (!isRecord(counts)) return undefined;
  return {
    input_tokens: count(counts.promptTokenCount) + count(counts.toolUsePromptTokenCount),
    output_tokens: count(counts.candidatesTokenCount) + count(counts.thoughtsTokenCount),
    cached_tokens: count(counts.cachedContentTokenCount),
  };
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
