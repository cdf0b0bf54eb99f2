import { Ajv, type Options } from 'ajv';
import addFormats from 'ajv-formats';
import fastJsonStringify from 'fast-json-stringify';
import type { FastifyRequest } from 'fastify';
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

    app.addHook('onRoute', (route) => {
      if (route.schema?.body !== undefined || route.method === 'GET' || route.method === 'HEAD') return;
      route.preValidation = [refuseBody, ...[route.preValidation ?? []].flat()];
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

async function refuseBody({ body }: FastifyRequest): Promise<void> {
  const isEmpty = typeof body === 'object' && (body === null || Object.keys(body).length === 0);
  if (body === undefined || isEmpty) return;
  throw new AppError('invalid_request', 'This operation takes no body.');
}

function validator(options: Options): Ajv {
  const ajv = new Ajv({ useDefaults: true, removeAdditional: false, allErrors: true, strict: false, ...options });
  addFormats.default(ajv);
  return ajv;
}
