/** Marks where a schema was moved to the components: `@fastify/swagger` follows no reference that it did not make. */
const MOVED = 'x-moved-to';
/** Their examples, which it would put where they are repeated in the types of the client. */
const SHOWN = 'x-shown';

/**
 * Moves the schemas that have an `$id` out of the routes, so that the document says each of them once. Their examples stay
 * where they were: one operation may show another one than the next.
 */
export function createComponents() {
  const schemas: Record<string, object> = {};

  /** A route's schema, with marks for those that have a name. */
  function moveOut(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(moveOut);
    if (!isObject(value)) return value;
    const { $id, examples, ...rest } = value;
    const moved = Object.fromEntries(Object.entries(rest).map(([name, part]) => [name, moveOut(part)]));
    if (typeof $id !== 'string') return examples === undefined ? moved : { ...moved, examples };
    schemas[$id] = moved;
    return { [MOVED]: $id, [SHOWN]: examples };
  }

  return { schemas, moveOut };
}

/** Puts references in the place of the marks, and the example of a content beside its schema. */
export function refer(value: unknown): void {
  if (!isObject(value)) return;
  for (const [key, part] of Object.entries(value)) {
    if (!isObject(part) || typeof part[MOVED] !== 'string') {
      refer(part);
      continue;
    }
    value[key] = { $ref: `#/components/schemas/${part[MOVED]}` };
    if (key === 'schema' && Array.isArray(part[SHOWN])) value.examples = { example: { value: part[SHOWN][0] } };
  }
}

/** A query string's schema, where what has a default need not be given. */
export function optionalWithDefault(schema: unknown): unknown {
  if (!isObject(schema) || !Array.isArray(schema.required) || !isObject(schema.properties)) return schema;
  const { properties } = schema;
  const isGiven = (name: string) => !isObject(properties[name]) || properties[name].default === undefined;
  return { ...schema, required: schema.required.filter(isGiven) };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
