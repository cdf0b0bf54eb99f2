import { createRequire } from 'node:module';
import { gemini } from '../../agents/gemini/gemini.ts';
import { geminiModel } from '../../model-proxy/gemini/model-api.ts';
import { type Check, type CheckContext, fail, ok } from './check.ts';

const KEYS = 'https://aistudio.google.com/apikey';

/** The agent, and whether the model takes its key: counting the tokens of a word costs nothing. */
export function modelChecks({ config }: CheckContext): Check[] {
  return [
    {
      name: 'gemini cli',
      async run() {
        const problem = await gemini.check(config);
        if (problem !== undefined && problem.code !== 'agent_auth') throw problem;
        const manifest = createRequire(import.meta.url)('@google/gemini-cli/package.json');
        return ok(String(manifest.version));
      },
    },
    {
      name: 'gemini key',
      async run() {
        if (config.GEMINI_API_KEY === undefined)
          return fail('GEMINI_API_KEY is not set.', `pullwright init, with a key from ${KEYS}`);
        const model = config.GEMINI_MODEL ?? 'gemini-2.5-flash';
        const api = geminiModel(config);
        const call = api.call('POST', `/v1beta/models/${model}:countTokens`);
        if (call === undefined) return fail(`GEMINI_MODEL is ${model}, which is no name of a model.`, 'Leave it out.');
        const response = await fetch(call.url, {
          method: 'POST',
          headers: { [api.keyHeader]: api.key, 'content-type': 'application/json' },
          body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'hello' }] }] }),
          signal: AbortSignal.timeout(15_000),
        }).catch(() => undefined);
        if (response === undefined) {
          return fail(
            `${call.url.host} cannot be reached.`,
            'Check the network, HTTPS_PROXY and GOOGLE_GEMINI_BASE_URL.',
          );
        }
        await response.body?.cancel();
        if (response.ok) return ok(`${call.url.host} takes it for ${model}`);
        if (response.status === 404)
          return fail(`There is no model ${model} for this key.`, 'Set GEMINI_MODEL to one there is.');
        if (response.status === 429) return fail('Its quota is used up.', `See its account at ${KEYS}`);
        return fail(`It is refused (status ${response.status}).`, `Make another one at ${KEYS}`);
      },
    },
  ];
}
