/** Marks a schema that moved to the components: `@fastify/swagger` resolves only its own references. */
const MOVED = 'x-moved-to';
/** Holds the examples of a moved schema: inside it, the types of the client would repeat them. */
const EXAMPLES = 'x-moved-examples';

/**
 * Moves schemas with an `$id` out of the routes, so that the document holds each once. Examples stay with the operation, since
 * operations may show different ones.
 */
export function createComponents() {
  const schemas: Record<string, object> = {};

  /** Returns the schema of a route with marks in place of the moved schemas. */
  function moveOut(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(moveOut);
    if (!isObject(value)) return value;
    const { $id, examples, ...rest } = value;
    const moved = Object.fromEntries(Object.entries(rest).map(([name, part]) => [name, moveOut(part)]));
    if (typeof $id !== 'string') return examples === undefined ? moved : { ...moved, examples };
    schemas[$id] = moved;
    return { [MOVED]: $id, [EXAMPLES]: examples };
  }

  return { schemas, moveOut };
}

/** Replaces marks by references, in place, and puts the example of a media type beside its schema. */
export function resolveMarks(value: unknown): void {
  if (!isObject(value)) return;
  for (const [key, part] of Object.entries(value)) {
    if (!isObject(part) || typeof part[MOVED] !== 'string') {
      resolveMarks(part);
      continue;
    }
    value[key] = { $ref: `#/components/schemas/${part[MOVED]}` };
    if (key === 'schema' && Array.isArray(part[EXAMPLES])) value.examples = { example: { value: part[EXAMPLES][0] } };
  }
}

/** Makes parameters with a default optional in the schema of a query string. */
export function optionalWithDefault(schema: unknown): unknown {
  if (!isObject(schema) || !Array.isArray(schema.required) || !isObject(schema.properties)) return schema;
  const { properties } = schema;
  const isRequired = (name: string) => !isObject(properties[name]) || properties[name].default === undefined;
  return { ...schema, required: schema.required.filter(isRequired) };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
