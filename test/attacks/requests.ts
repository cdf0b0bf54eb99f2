import type { Random } from './random.ts';

type Schema = {
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  const?: unknown;
  $ref?: string;
  examples?: unknown[];
};
type Operation = { requestBody?: { content: Record<string, { schema: Schema }> }; parameters?: Parameter[] };
type Parameter = { name: string; in: string; schema: Schema };
type OpenApi = { paths: Record<string, Record<string, Operation>>; components: { schemas: Record<string, Schema> } };

export type Route = { method: string; path: string; query: Parameter[]; body: Schema | undefined };

/** Lists the operations of an OpenAPI document, with references resolved. */
export function routesOf({ paths, components }: OpenApi): Route[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { requestBody, parameters = [] }]) => {
      const schema = requestBody?.content['application/json']?.schema;
      const name = schema?.$ref?.split('/').at(-1);
      return {
        method: method.toUpperCase(),
        path,
        query: parameters.filter((parameter) => parameter.in === 'query'),
        body: name === undefined ? schema : components.schemas[name],
      };
    }),
  );
}

const HOSTILE_TEXT = [
  '',
  ' ',
  '..',
  '../../etc/passwd',
  '%2e%2e%2f',
  '%00',
  '%zz',
  '%',
  'a/b',
  '-x',
  '--upload-pack=x',
  '__proto__',
  'constructor',
  'null',
  'NaN',
  '\u0000',
  '\uD800',
  '💥',
  'é'.normalize('NFD'),
  "' OR 1=1 --",
  '"; drop table runs; --',
  '<script>',
  '$'.concat('{7*7}'),
  '$(id)',
  '`id`',
  '\r\nX-Injected: 1',
  'data: __END__\n\n',
  '__END__',
  'x'.repeat(300),
  'x'.repeat(70_000),
  '1e999',
  '-0',
  '0x10',
];
const HOSTILE_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  Number.MAX_SAFE_INTEGER + 1,
  [],
  { nested: {} },
  [[[[]]]],
  { toString: 1 },
  ...HOSTILE_TEXT,
];

/** Fills a path with valid, unknown or malformed parameters, and may append a query. */
export function pathFor(random: Random, route: Route, known: Record<string, string>): string {
  const path = route.path.replace(/\{(\w+)\}/g, (_, name: string) =>
    random.weighted([
      [4, known[name] ?? ''],
      [1, random.word(8)],
      [1, '019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c'],
      [2, encoded(random, random.pick(HOSTILE_TEXT))],
    ]),
  );
  if (!random.chance(0.3)) return path;
  const names = [...route.query.map((parameter) => parameter.name), 'x', '__proto__'];
  return `${path}?${random.pick(names)}=${encoded(random, random.pick(HOSTILE_TEXT))}`;
}

/** Creates a body: valid, with one wrong property, or malformed. */
export function bodyFor(random: Random, route: Route): Buffer | undefined {
  if (route.body === undefined) return random.chance(0.05) ? random.bytes(20) : undefined;
  return random.weighted<() => Buffer>([
    [30, () => json(valueFor(random, route.body ?? {}))],
    [40, () => json(corrupted(random, valueFor(random, route.body ?? {})))],
    [5, () => json(random.pick(HOSTILE_VALUES))],
    [5, () => json(valueFor(random, route.body ?? {})).subarray(0, random.below(40))],
    [5, () => random.bytes(random.below(200))],
    [2, () => Buffer.from('['.repeat(10_000))],
    [1, () => Buffer.alloc(1_200_000, 0x20)],
  ])();
}

function valueFor(random: Random, schema: Schema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.anyOf !== undefined) return valueFor(random, random.pick(schema.anyOf));
  if (schema.examples !== undefined && random.chance(0.7)) return random.pick(schema.examples);
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {})
          .filter(([name]) => schema.required?.includes(name) === true || random.chance(0.5))
          .map(([name, inner]) => [name, valueFor(random, inner)]),
      );
    case 'array':
      return Array.from({ length: random.below(3) }, () => valueFor(random, schema.items ?? {}));
    case 'integer':
      return random.below(5);
    case 'boolean':
      return random.chance(0.5);
    default:
      return random.word(random.below(20) + 1);
  }
}

function corrupted(random: Random, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return random.pick(HOSTILE_VALUES);
  const entries = Object.entries(value);
  const name =
    random.chance(0.8) && entries.length > 0 ? random.pick(entries)[0] : random.pick(['extra', '__proto__', '']);
  return Object.fromEntries([...entries, [name, random.pick(HOSTILE_VALUES)]]);
}

/** Percent-encodes a text, or passes it as raw as a request line allows. */
function encoded(random: Random, text: string): string {
  if (random.chance(0.3)) return text.replace(/[^\x21-\x7e]/g, '').slice(0, 5000);
  return encodeURIComponent(text.toWellFormed()).slice(0, 5000);
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value) ?? '');
}
