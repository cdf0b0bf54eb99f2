import { Ajv, type Options } from 'ajv';
import addFormats from 'ajv-formats';
import fastJsonStringify from 'fast-json-stringify';
import fp from 'fastify-plugin';
import { AppError } from '../src/errors/app-error.ts';

/**
 * Validators for requests. Bodies are taken as they are: nothing is converted, and an unknown field is an error, as is any
 * field where no body is asked for. Query strings, parameters and headers arrive as text and are converted. Serializers for
 * answers are shared by the routes that answer alike: most do when they refuse.
 */
export default fp(
  async (app) => {
    const body = validator({ coerceTypes: false });
    const text = validator({ coerceTypes: 'array' });
    app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? body : text).compile(schema));

    app.addHook('preValidation', (request, _reply, done) => {
      const { body, routeOptions } = request;
      const isEmpty = typeof body === 'object' && (body === null || Object.keys(body).length === 0);
      if (body === undefined || isEmpty || routeOptions.schema?.body !== undefined || request.is404) return done();
      throw new AppError('invalid_request', 'This operation takes no body.');
    });

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
