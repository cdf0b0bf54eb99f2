import type { TSchema } from '@sinclair/typebox';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import fastJsonStringify from 'fast-json-stringify';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';

/** Canonical spellings of values in a query string, a path or a header. */
const INTEGER = /^(?:0|-?[1-9]\d{0,14})$/;
const BOOLEAN = /^(?:true|false)$/;

/**
 * Compiles validators of requests and serializers of answers.
 * - Validators convert integers and booleans of query strings, paths and headers, in their canonical spelling only.
 * - An unknown field is an error, and so is a body where the route takes none.
 * - Routes with equal response schemas share a serializer.
 */
export default fp(
  async (app) => {
    const ajv = createAjv();
    app.setValidatorCompiler<TSchema>(({ schema, httpPart }) => {
      const validate = ajv.compile(schema);
      if (httpPart === 'body') return validate;
      return (data: Record<string, unknown>) => {
        convertTexts(schema, data);
        return validate(data) ? { value: data } : { error: validate.errors ?? [] };
      };
    });

    app.addHook('onRoute', (route) => {
      if (route.schema?.body !== undefined || route.method === 'GET' || route.method === 'HEAD') return;
      route.preValidation = [refuseBody, ...[route.preValidation ?? []].flat()];
    });

    const serializers = new Map<string, (value: unknown) => string>();
    app.setSerializerCompiler(({ schema }) => {
      const key = JSON.stringify(schema);
      const serialize = serializers.get(key) ?? fastJsonStringify(schema);
      serializers.set(key, serialize);
      return serialize;
    });
  },
  { name: 'validation' },
);

async function refuseBody({ body }: FastifyRequest): Promise<void> {
  const isEmpty = typeof body === 'object' && (body === null || Object.keys(body).length === 0);
  if (body === undefined || isEmpty) return;
  throw new AppError('invalid_request', 'This operation takes no body.');
}

/** Converts texts in place. The validator rejects all other spellings. */
function convertTexts({ properties = {} }: TSchema, data: Record<string, unknown>): void {
  for (const [name, { type }] of Object.entries<TSchema>(properties)) {
    const text = data[name];
    if (typeof text !== 'string') continue;
    if (type === 'integer' && INTEGER.test(text)) data[name] = Number(text);
    if (type === 'boolean' && BOOLEAN.test(text)) data[name] = text === 'true';
  }
}

function createAjv(): Ajv {
  const ajv = new Ajv({ useDefaults: true, removeAdditional: false, allErrors: true, strict: false });
  addFormats.default(ajv);
  return ajv;
}
