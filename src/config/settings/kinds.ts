import { resolve } from 'node:path';
import { FormatRegistry, type TString, Type } from '@sinclair/typebox';

FormatRegistry.Set('uri', (value) => URL.canParse(value));

/** Thrown by a setting that cannot decode its text. Each problem continues the name of the setting and ends with a remedy. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
  readonly problems: readonly string[];

  constructor(...problems: string[]) {
    super(problems.join(' '));
    this.problems = problems;
  }
}

export const flag = (fallback: boolean, description: string) => Type.Boolean({ default: fallback, description });

export const count = (fallback: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: fallback, minimum, maximum, description });

/** Creates a limit that does not apply by default. */
export const limit = (maximum: number, description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum, description }));

export const text = (description: string, fallback?: string) =>
  Type.String({ minLength: 1, description, default: fallback });

export const httpUrl = (description: string) => Type.String({ format: 'uri', pattern: '^https?://', description });

export const oneOf = <const Value extends string>(values: readonly Value[], fallback: Value, description: string) =>
  // StaticDecode does not read a union of an array.
  Type.Unsafe<Value>(
    Type.Union(
      values.map((value) => Type.Literal(value)),
      { default: fallback, description },
    ),
  );

/** Creates a setting whose value in `Config` differs from its text. `decode` throws SettingError. */
export const decoded = <Value>(schema: TString, decode: (text: string) => Value) =>
  Type.Transform(schema).Decode(decode).Encode(String);

/** Creates a path that decodes to an absolute path. */
export const folder = (fallback: string, description: string) =>
  decoded(text(description, fallback), (path) => resolve(path));

/** Creates a comma-separated list. `parse` decodes an item, or throws SettingError. */
export const list = <Item>(fallback: string, description: string, parse: (item: string) => Item) =>
  decoded(Type.String({ default: fallback, description: `${description} Comma-separated.` }), (value) =>
    parseItems(splitList(value), parse),
  );

/** Splits a comma-separated list into its items, without empty ones. */
export function splitList(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** Throws SettingError unless the item of a list is valid. */
export function checkItem(valid: boolean, item: string, fault: string, example: string): void {
  if (!valid) throw new SettingError(`holds ${JSON.stringify(item)}, which is ${fault}. Write it like ${example}.`);
}

function parseItems<Item>(items: readonly string[], parse: (item: string) => Item): readonly Item[] {
  const problems: string[] = [];
  const parsed = items.flatMap((item) => {
    try {
      return [parse(item)];
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      problems.push(...error.problems);
      return [];
    }
  });
  if (problems.length > 0) throw new SettingError(...problems);
  return parsed;
}
