import { isRecord } from '../json/is-record.ts';

/** What a value in a request may be. `json` is data for the model only: whatever it holds, the API does not act on it. */
export type Shape<Name extends string> =
  | 'string'
  | 'number'
  | 'boolean'
  | 'json'
  /** An object of the table. */
  | Name
  | { list: Shape<Name> }
  /** An object with keys of any name. */
  | { map: Shape<Name> }
  | { values: readonly (string | number)[] }
  | { matches: RegExp }
  /** The first of these whose JSON type the value has. */
  | { either: readonly Shape<Name>[] };

/** The fields of an object, by their names in camelCase. All are optional, and there are no others. */
export type Fields<Name extends string> = Readonly<Record<string, Shape<Name>>>;

/** The allow-list of an API: its objects, by name. */
export type Shapes<Name extends string> = Readonly<Record<Name, Fields<NoInfer<Name>>>>;

/** Longest name of a field in a path, and most steps of one. A sender chooses both. */
const MAX_NAME = 60;
const MAX_STEPS = 12;

/** The field of an object, by each of its spellings. */
type Spellings<Name extends string> = Map<string, { name: string; shape: Shape<Name> }>;

/**
 * Compiles an allow-list into a check of parsed JSON, nested no deeper than the stack allows.
 *
 * A field may be spelled in camelCase or in snake_case, as in the JSON of protobuf
 * (https://protobuf.dev/programming-guides/json/), but only once in an object. The check renames fields to camelCase in place:
 * what was checked is then what the API reads.
 * @returns the check: it returns the path of the first field that is not on the list, if there is one
 */
export function createShapeCheck<Name extends string>(table: Shapes<Name>) {
  const objects = new Map<string, Spellings<Name>>();
  for (const [object, fields] of Object.entries<Fields<Name>>(table)) {
    const spellings: Spellings<Name> = new Map();
    for (const [name, shape] of Object.entries(fields)) {
      spellings.set(name, { name, shape });
      spellings.set(snakeCase(name), { name, shape });
    }
    objects.set(object, spellings);
  }

  /** Whether the value is of the type of a shape; what is in it is not looked at. */
  function suits(value: unknown, shape: Shape<Name>): boolean {
    if (typeof shape === 'string') {
      if (shape === 'json' || typeof value === shape) return value !== Number.POSITIVE_INFINITY;
      return objects.has(shape) && isRecord(value);
    }
    if ('list' in shape) return Array.isArray(value);
    if ('map' in shape) return isRecord(value);
    if ('values' in shape) return shape.values.some((allowed) => allowed === value);
    if ('matches' in shape) return typeof value === 'string' && shape.matches.test(value);
    return shape.either.some((one) => suits(value, one));
  }

  return function check(root: Name, request: unknown): string | undefined {
    const path: (string | number)[] = [];
    return accepts(request, root) ? undefined : pathText(path);

    /** Leaves the path at what is refused. */
    function accepts(value: unknown, shape: Shape<Name>): boolean {
      if (!suits(value, shape)) return false;
      if (typeof shape === 'string') {
        const spellings = objects.get(shape);
        return spellings === undefined || !isRecord(value) || acceptsFields(value, spellings);
      }
      if ('either' in shape) {
        const suited = shape.either.find((one) => suits(value, one));
        return suited !== undefined && accepts(value, suited);
      }
      if ('list' in shape && Array.isArray(value)) {
        return value.every((item, index) => acceptsAt(index, item, shape.list));
      }
      if ('map' in shape && shape.map !== 'json' && isRecord(value)) {
        return Object.keys(value).every((key) => acceptsAt(key, value[key], shape.map));
      }
      return true;
    }

    function acceptsAt(key: string | number, value: unknown, shape: Shape<Name>): boolean {
      path.push(key);
      if (!accepts(value, shape)) return false;
      path.pop();
      return true;
    }

    function acceptsFields(value: Record<string, unknown>, spellings: Spellings<Name>): boolean {
      for (const key of Object.keys(value)) {
        const field = spellings.get(key);
        if (field === undefined || (field.name !== key && Object.hasOwn(value, field.name))) {
          path.push(key);
          return false;
        }
        if (!acceptsAt(key, value[key], field.shape)) return false;
        if (field.name === key) continue;
        value[field.name] = value[key];
        delete value[key];
      }
      return true;
    }
  };
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Such as `tools[0].googleSearch`. */
function pathText(path: readonly (string | number)[]): string {
  const steps = path.slice(0, MAX_STEPS).map((step) => {
    if (typeof step === 'number') return `[${step}]`;
    return `.${step.length > MAX_NAME ? `${step.slice(0, MAX_NAME)}…` : step}`;
  });
  return steps.join('').replace(/^\./, '') || 'the body';
}
