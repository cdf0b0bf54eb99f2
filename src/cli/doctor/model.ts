import { createRequire } from 'node:module';
import { gemini } from '../../agents/gemini/gemini.ts';
import { geminiModel } from '../../model-proxy/gemini/model-api.ts';
import { type Check, type CheckContext, fail, ok } from './check.ts';

const KEYS = 'https://aistudio.google.com/apikey';

/** Checks the agent, and the key of the model by counting tokens, which is free. */
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
        if (call === undefined)
          return fail(`GEMINI_MODEL is ${model}, which is not the name of a model.`, 'Remove GEMINI_MODEL.');
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
        if (response.ok) return ok(`${call.url.host} accepts it for ${model}`);
        if (response.status === 404)
          return fail(`The key has no access to the model ${model}.`, 'Set GEMINI_MODEL to another model.');
        if (response.status === 429) return fail('The quota of the key is exhausted.', `Check the account at ${KEYS}`);
        return fail(`The API refuses the key (status ${response.status}).`, `Create another key at ${KEYS}`);
      },
    },
  ];
}
