import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { gemini } from '../../../src/agents/gemini/gemini.ts';
import { loadConfig } from '../../../src/config/load-config.ts';
import { createSandbox } from '../../../src/sandbox/sandbox.ts';

/** The core module of the installed Gemini CLI. Its file name contains a hash that changes with the version. */
const bundle = join(dirname(createRequire(import.meta.url).resolve('@google/gemini-cli/package.json')), 'bundle');
const core = await import(join(bundle, readdirSync(bundle).find((name) => /^core-\w+\.js$/.test(name)) ?? ''));

/** Configurations that serve only models of the same family, or only as the base of others. */
const UNUSED = /^(?:base$|chat-base|gemini-|gemma-|chat-compression-(?!default))/;
/** Resolves a model name as Gemini CLI does with an API key, which allows its newest models. */
const resolve = (model: string, customTools: boolean): string =>
  core.resolveModel(model, true, customTools, true, undefined, true, true);

const dir = await mkdtemp(join(tmpdir(), 'pw-models-'));
t.teardown(() => rm(dir, { recursive: true, force: true }));

/** Returns the models that the settings allow, and the models of the helpers of Gemini CLI. */
async function modelsWith(settings: Record<string, string>) {
  const folders = { DATA_DIR: join(dir, 'data'), TICKETS_ROOT: join(dir, 'tickets') };
  const config = loadConfig({ ...folders, ...settings, GEMINI_API_KEY: 'key' }, join(dir, 'no.env'));
  const { home } = await gemini.prepareLaunch({
    config,
    mode: 'write',
    sandbox: createSandbox({ config, parentEnv: process.env }),
    workspace: dir,
    conversation: join(dir, 'conversation'),
    model: undefined,
  });
  const written = JSON.parse(await readFile(join(home.folder, '.gemini/settings.json'), 'utf8'));
  const configs = new core.ModelConfigService({ ...core.DEFAULT_MODEL_CONFIGS, ...written.modelConfigs });
  const helpers = Object.keys(core.DEFAULT_MODEL_CONFIGS.aliases).filter((name) => !UNUSED.test(name));
  return {
    allowed: gemini.model?.(config).models ?? new Set<string>(),
    helpers: helpers.map((name) => [name, String(configs.getResolvedConfig({ model: name }).model)] as const),
  };
}

t.test('Gemini CLI uses only allowed models for each value of GEMINI_MODEL', async (t) => {
  const names = [...core.VALID_GEMINI_MODELS].filter((name) => name !== 'none');
  for (const name of [
    'auto',
    'auto-gemini-3',
    'auto-gemini-2.5',
    'pro',
    'flash',
    'flash-lite',
    'of-a-relay',
    ...names,
  ]) {
    const { allowed, helpers } = await modelsWith({ GEMINI_MODEL: name });
    const used = [['conversation', name] as const, ...helpers].flatMap(([use, model]) =>
      [true, false].map((customTools) => [use, resolve(model, customTools)] as const),
    );
    const refused = used.filter(([, model]) => !allowed.has(model));
    t.same(refused, [], name);
  }
  const unset = await modelsWith({});
  for (const model of ['pro', 'flash', 'flash-lite']) t.ok(unset.allowed.has(resolve(model, true)), model);
});

t.test('GEMINI_MODEL allows one large model and the small models of helpers', async (t) => {
  const { allowed } = await modelsWith({ GEMINI_MODEL: 'gemini-2.5-flash' });
  t.ok(allowed.has('gemini-2.5-flash'));
  t.same(
    [...allowed].filter((name) => !name.includes('flash')),
    [],
  );
  t.notOk((await modelsWith({ GEMINI_MODEL: 'gemini-2.5-pro' })).allowed.has('gemini-3.1-pro-preview'));
});
