/**
 * The models that Gemini CLI 0.61 uses beside the configured one: for summaries, edit corrections, loop detection and model
 * selection. https://geminicli.com/docs/cli/generation-settings/
 */
const HELPERS = [
  'gemini-3-flash-preview',
  'gemini-3.5-flash',
  'gemini-3.8-flash',
  'gemini-3.1-flash-lite',
  'gemini-3.5-flash-lite',
];
const PRO_2 = 'gemini-2.5-pro';
const PRO_3 = ['gemini-3-pro-preview', 'gemini-3.1-pro-preview', 'gemini-3.1-pro-preview-customtools'];

/** The models that Gemini CLI uses for a name: those of a family, and replacements of others. */
const FAMILIES: ReadonlyMap<string, readonly string[]> = new Map([
  ['auto', [...PRO_3, PRO_2]],
  ['auto-gemini-3', PRO_3],
  ['auto-gemini-2.5', [PRO_2]],
  ['pro', PRO_3],
  ['flash', []],
  ['flash-lite', []],
  ...PRO_3.map((name) => [name, PRO_3] as const),
]);

/** Returns the models that an agent may use: that of `GEMINI_MODEL` or else Gemini CLI's own selection, and its helpers. */
export function geminiModels(name = 'auto'): ReadonlySet<string> {
  return new Set([...HELPERS, ...(FAMILIES.get(name) ?? [name])]);
}

/** The calls for which Gemini CLI would select a strong model itself. They get the configured one. */
const STRONG_HELPERS = ['loop-detection-double-check', 'chat-compression-default'];

/** Returns `modelConfigs` of Gemini CLI's settings. */
export function geminiModelConfigs(name: string) {
  const alias = { extends: 'base', modelConfig: { model: name } };
  return { customAliases: Object.fromEntries(STRONG_HELPERS.map((helper) => [helper, alias])) };
}
