/** Marks where a schema was moved to the components: `@fastify/swagger` follows no reference that it did not make. */
const MOVED = 'x-moved-to';

/** Moves the schemas that have an `$id` out of the routes, so that the document says each of them once. */
export function createComponents() {
  const schemas: Record<string, object> = {};

  /** A route's schema, with marks for those that have a name. */
  function moveOut(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(moveOut);
    if (!isObject(value)) return value;
    const { $id, ...rest } = value;
    const moved = Object.fromEntries(Object.entries(rest).map(([name, part]) => [name, moveOut(part)]));
    if (typeof $id !== 'string') return moved;
    schemas[$id] = moved;
    return { [MOVED]: $id };
  }

  return { schemas, moveOut };
}

/** Puts references in the place of the marks. */
export function refer(value: unknown): void {
  if (!isObject(value)) return;
  for (const [key, part] of Object.entries(value)) {
    if (isObject(part) && typeof part[MOVED] === 'string') value[key] = { $ref: `#/components/schemas/${part[MOVED]}` };
    else refer(part);
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
