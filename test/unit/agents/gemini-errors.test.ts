import t from 'tap';
import { classifyGeminiError } from '../../../src/agents/gemini/cli-errors.ts';

t.test('classifyGeminiError() maps errors of the model to error codes', (t) => {
  const google = (code: number, message: string) => JSON.stringify({ error: { code, message } });
  const cases: [number | undefined, string, object | undefined][] = [
    [
      400,
      google(400, 'API key not valid. Please pass a valid API key.'),
      { code: 'agent_auth', message: /: API key not valid/ },
    ],
    [403, google(403, 'The caller does not have permission.'), { code: 'agent_auth' }],
    [-32000, 'Gemini API key is missing or not configured.', { code: 'agent_auth' }],
    [undefined, 'IneligibleTierError: not for you', { code: 'agent_auth' }],
    [429, 'Rate limit exceeded. Try again later.', { code: 'model_rate_limited', retryAfter: undefined }],
    [429, 'Quota. Please retry in 12.3s.', { code: 'model_rate_limited', retryAfter: 13 }],
    [500, 'You have exhausted your daily quota on this model.', { code: 'model_rate_limited' }],
    [500, 'models/x is not found for API version v1beta', { code: 'model_failed', remedy: /GEMINI_MODEL/ }],
    [500, 'fetch failed', { code: 'model_failed', remedy: /network/ }],
    [
      503,
      'The model is overloaded.',
      { code: 'model_failed', message: 'The model failed (503): The model is overloaded.' },
    ],
    [-32603, 'Internal error', undefined],
    [undefined, 'TypeError: x is not a function', undefined],
  ];
  for (const [code, message, expected] of cases) {
    const error = classifyGeminiError(code === undefined ? { message } : { code, message });
    if (expected === undefined) t.equal(error, undefined, message);
    else t.match(error, expected, message);
  }
  t.end();
});
