import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { gemini } from '../../../src/agents/gemini/gemini.ts';
import { loadConfig } from '../../../src/config/load-config.ts';
import { createSandbox } from '../../../src/sandbox/sandbox.ts';

/** The modules of the installed Gemini CLI: its file has a hash in its name, which each version changes. */
const bundle = join(dirname(createRequire(import.meta.url).resolve('@google/gemini-cli/package.json')), 'bundle');
const core = await import(join(bundle, readdirSync(bundle).find((name) => /^core-\w+\.js$/.test(name)) ?? ''));

/** Configurations that Gemini CLI uses only for a model of the same family, or builds others on. */
const UNUSED = /^(?:base$|chat-base|gemini-|gemma-|chat-compression-(?!default))/;
/** With a key of the Gemini API it may use its newest models. */
const resolve = (model: string, customTools: boolean): string =>
  core.resolveModel(model, true, customTools, true, undefined, true, true);

const dir = await mkdtemp(join(tmpdir(), 'pw-models-'));
t.teardown(() => rm(dir, { recursive: true, force: true }));

/** The models that the settings allow, and the configurations that Gemini CLI is started with. */
async function startWith(settings: Record<string, string>) {
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

t.test('Gemini CLI uses allowed models only, whatever GEMINI_MODEL names', async (t) => {
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
    const { allowed, helpers } = await startWith({ GEMINI_MODEL: name });
    const used = [['conversation', name] as const, ...helpers].flatMap(([use, model]) =>
      [true, false].map((customTools) => [use, resolve(model, customTools)] as const),
    );
    const refused = used.filter(([, model]) => !allowed.has(model));
    t.same(refused, [], name);
  }
  const unset = await startWith({});
  for (const model of ['pro', 'flash', 'flash-lite']) t.ok(unset.allowed.has(resolve(model, true)), model);
});

t.test('GEMINI_MODEL allows one strong model, and helpers that cost little', async (t) => {
  const { allowed } = await startWith({ GEMINI_MODEL: 'gemini-2.5-flash' });
  t.ok(allowed.has('gemini-2.5-flash'));
  t.same(
    [...allowed].filter((name) => !name.includes('flash')),
    [],
  );
  t.notOk((await startWith({ GEMINI_MODEL: 'gemini-2.5-pro' })).allowed.has('gemini-3.1-pro-preview'));
});
