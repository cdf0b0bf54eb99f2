import type { TSchema } from '@sinclair/typebox';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import fastJsonStringify from 'fast-json-stringify';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';

/** Texts that stand for a value in a query string, a path or a header: one spelling each, and no other. */
const INTEGER = /^(?:0|-?[1-9]\d{0,14})$/;
const BOOLEAN = /^(?:true|false)$/;

/**
 * Validators for requests. Nothing is converted but an integer and a boolean that arrive as text, in a query string, a path or
 * a header, and in their one spelling. An unknown field is an error, as is any field where no body is asked for. Serializers
 * for answers are shared by the routes that answer alike: most do when they refuse.
 */
export default fp(
  async (app) => {
    const ajv = createAjv();
    app.setValidatorCompiler<TSchema>(({ schema, httpPart }) => {
      const validate = ajv.compile(schema);
      if (httpPart === 'body') return validate;
      return (data: Record<string, unknown>) => {
        readTexts(schema, data);
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

/** Puts the value that a text stands for in its place; the validator complains of every other text. */
function readTexts({ properties = {} }: TSchema, data: Record<string, unknown>): void {
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
