import { Ajv, type Options } from 'ajv';
import addFormats from 'ajv-formats';
import fastJsonStringify from 'fast-json-stringify';
import fp from 'fastify-plugin';

/**
 * Validators for requests. Bodies are taken as they are: nothing is converted, and an unknown field is an error. Query
 * strings, parameters and headers arrive as text and are converted. Serializers for answers are shared by the routes that
 * answer alike: most do when they refuse.
 */
export default fp(
  async (app) => {
    const body = validator({ coerceTypes: false });
    const text = validator({ coerceTypes: 'array' });
    app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? body : text).compile(schema));

    const serializers = new Map<string, (value: unknown) => string>();
    app.setSerializerCompiler(({ schema }) => {
      const key = JSON.stringify(schema);
      const known = serializers.get(key) ?? fastJsonStringify(schema);
      serializers.set(key, known);
      return known;
    });
  },
  { name: 'validation' },
);

function validator(options: Options): Ajv {
  const ajv = new Ajv({ useDefaults: true, removeAdditional: false, allErrors: true, strict: false, ...options });
  addFormats.default(ajv);
  return ajv;
}
