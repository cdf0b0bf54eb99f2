import type { Config } from '../../config/load-config.ts';
import { isRecord } from '../../json/is-record.ts';
import type { ModelApi } from '../model-api.ts';
import { geminiTrouble } from './api-errors.ts';
import { addNotes } from './history.ts';
import { geminiModels } from './models.ts';

const PUBLIC_API = 'https://generativelanguage.googleapis.com';

/** The calls of a conversation, and none that lists, uploads, tunes or caches: https://ai.google.dev/api */
const CALL =
  /^\/v1(?:alpha|beta)?\/models\/([a-zA-Z0-9][\w.-]{0,99}):(generateContent|streamGenerateContent|countTokens)(?:\?alt=(?:sse|json))?$/;

/** The Gemini API, or the relay that the operator has put in its place. */
export function geminiModel({
  GEMINI_API_KEY = '',
  GEMINI_MODEL,
  GOOGLE_GEMINI_BASE_URL = PUBLIC_API,
}: Config): ModelApi {
  const base = GOOGLE_GEMINI_BASE_URL.replace(/\/+$/, '');
  return {
    keyHeader: 'x-goog-api-key',
    key: GEMINI_API_KEY,
    format: 'gemini',
    models: geminiModels(GEMINI_MODEL),

    call(method, target) {
      const [, model, operation] = (method === 'POST' && CALL.exec(target)) || [];
      if (model === undefined) return undefined;
      const url = new URL(base + target);
      return { url, model, costs: operation !== 'countTokens', converses: operation === 'streamGenerateContent' };
    },

    usage: usageIn,
    errorBody: (code, message) => ({
      error: { code, message, status: code === 403 ? 'PERMISSION_DENIED' : 'UNKNOWN' },
    }),
    trouble: geminiTrouble,
    addNotes,
  };
}

/** https://ai.google.dev/api/generate-content#UsageMetadata; tokens of the cache are among those of the prompt. */
function usageIn(answer: unknown) {
  const counts = isRecord(answer) ? answer.usageMetadata : undefined;
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
