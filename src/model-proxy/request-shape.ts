import { isRecord } from '../json/is-record.ts';

/** The allowed values of a field. `json` is data for the model only: the API does not act on it. */
export type Shape<Name extends string> =
  | 'string'
  | 'number'
  | 'boolean'
  | 'json'
  /** An object of the allow-list. */
  | Name
  | { list: Shape<Name> }
  /** An object with arbitrary keys. */
  | { map: Shape<Name> }
  | { values: readonly (string | number)[] }
  | { matches: RegExp }
  /** The first shape that has the JSON type of the value. */
  | { either: readonly Shape<Name>[] };

/** The fields of an object by name, in camelCase. All are optional. */
export type Fields<Name extends string> = Readonly<Record<string, Shape<Name>>>;

/** The allow-list of an API: its objects, by name. */
export type Shapes<Name extends string> = Readonly<Record<Name, Fields<NoInfer<Name>>>>;

/** Bounds of a path in an error, since the sender chooses both. */
const MAX_NAME_CHARS = 60;
const MAX_STEPS = 12;

/** The fields of an object, by each spelling of their names. */
type Spellings<Name extends string> = Map<string, { name: string; shape: Shape<Name> }>;

/**
 * Compiles an allow-list into a check of parsed JSON. The check is recursive: bound the nesting first.
 *
 * Accepts each field in camelCase or in snake_case, as the JSON of protobuf does
 * (https://protobuf.dev/programming-guides/json/), but not both. Renames fields to camelCase in place, so that the API reads
 * exactly the fields that were checked.
 * @returns the check, which returns the path of the first field that is not on the list
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

  /** Returns whether the value has the type of a shape; does not look inside. */
  function hasType(value: unknown, shape: Shape<Name>): boolean {
    if (typeof shape === 'string') {
      if (shape === 'json' || typeof value === shape) return value !== Number.POSITIVE_INFINITY;
      return objects.has(shape) && isRecord(value);
    }
    if ('list' in shape) return Array.isArray(value);
    if ('map' in shape) return isRecord(value);
    if ('values' in shape) return shape.values.some((allowed) => allowed === value);
    if ('matches' in shape) return typeof value === 'string' && shape.matches.test(value);
    return shape.either.some((one) => hasType(value, one));
  }

  return function check(root: Name, request: unknown): string | undefined {
    const path: (string | number)[] = [];
    return accepts(request, root) ? undefined : pathText(path);

    /** Leaves `path` at the value that is refused. */
    function accepts(value: unknown, shape: Shape<Name>): boolean {
      if (!hasType(value, shape)) return false;
      if (typeof shape === 'string') {
        const spellings = objects.get(shape);
        return spellings === undefined || !isRecord(value) || acceptsFields(value, spellings);
      }
      if ('either' in shape) {
        const matching = shape.either.find((one) => hasType(value, one));
        return matching !== undefined && accepts(value, matching);
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

/** Formats a path, such as `tools[0].googleSearch`. */
function pathText(path: readonly (string | number)[]): string {
  const steps = path.slice(0, MAX_STEPS).map((step) => {
    if (typeof step === 'number') return `[${step}]`;
    return `.${step.length > MAX_NAME_CHARS ? `${step.slice(0, MAX_NAME_CHARS)}…` : step}`;
  });
  return steps.join('').replace(/^\./, '') || 'the body';
}
