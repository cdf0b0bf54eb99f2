import type { FastifyError, FastifyReply, FastifyRequest, FastifySchemaValidationError } from 'fastify';
import fp from 'fastify-plugin';
import { createPathHider } from '../../src/config/hide-paths.ts';
import { AppError, toAppError } from '../../src/errors/app-error.ts';
import type { ErrorCode } from '../../src/errors/error-codes.ts';
import { PROBLEM_TYPE, problemDocument } from '../../src/errors/problem-document.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Replaces paths of the server in a text for clients by the names of their settings. */
    hidePaths(text: string): string;
  }
  interface FastifyRequest {
    /** The error that the request was answered with. */
    problem?: AppError;
  }
}

/** Limits the reported errors of a body with thousands of invalid fields. */
const MAX_ISSUES = 20;

/** Codes of errors of Fastify and its plugins, by status. */
const CODE_BY_STATUS: Record<number, ErrorCode> = {
  400: 'invalid_request',
  401: 'unauthorized',
  404: 'not_found',
  405: 'method_not_allowed',
  406: 'not_acceptable',
  413: 'payload_too_large',
  415: 'unsupported_media_type',
  429: 'rate_limited',
  503: 'shutting_down',
};

/** Answers every error as `application/problem+json` (RFC 9457). */
export default fp(
  async (app) => {
    app.decorate('hidePaths', createPathHider(app.config));
    app.setErrorHandler((error: FastifyError | AppError, request, reply) => sendProblem(error, request, reply));
    app.setNotFoundHandler((request, reply) =>
      sendProblem(new AppError('not_found', `There is no route for ${request.method} at this path.`), request, reply),
    );
  },
  { name: 'problem', dependencies: ['config', 'redaction'] },
);

/** Sends an error as a problem, also before a route is found, as for a malformed URL. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error);
  request.problem = problem;
  const status = problem.status;
  if (status >= 500) request.log.error({ err: error, code: problem.code }, 'request failed');
  else request.log.info({ code: problem.code, detail: problem.message }, 'request refused');
  if (problem.retryAfter !== undefined) reply.header('retry-after', Math.ceil(problem.retryAfter));
  const { redactor, hidePaths } = request.server;
  const body = redactor.value(problemDocument(problem));
  // Sent as text: the route's response schema is not the schema of a problem.
  return reply
    .code(status)
    .type(PROBLEM_TYPE)
    .serializer(JSON.stringify)
    .send({ ...body, detail: hidePaths(body.detail), ...(body.remedy && { remedy: hidePaths(body.remedy) }) });
}

function toProblem(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (!isFastifyError(error)) return toAppError(error);
  if (error.validation !== undefined) {
    const where = error.validationContext ?? 'request';
    const errors = error.validation.slice(0, MAX_ISSUES).map((issue) => ({
      path: pointer(issue.instancePath, issue.params),
      message: complaint(issue),
    }));
    const named = errors.map(({ path, message }) => `${path || '/'} ${message}`).join('; ');
    return new AppError('invalid_request', `The ${where} is not valid: ${named}.`, { errors });
  }
  const code = error.statusCode === undefined ? undefined : CODE_BY_STATUS[error.statusCode];
  if (code !== undefined) return new AppError(code, `${error.message.replace(/\.$/, '')}.`, { cause: error });
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return new AppError('invalid_request', error.message, { cause: error });
  }
  return toAppError(error);
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && ('statusCode' in error || 'validation' in error);
}

function complaint({ keyword, params, message }: FastifySchemaValidationError): string {
  const { allowedValues } = params;
  if (keyword === 'enum' && Array.isArray(allowedValues)) return `must be one of ${allowedValues.join(', ')}`;
  return message ?? 'is not valid';
}

/** Returns the JSON Pointer (RFC 6901) to the value of an Ajv error; for a missing or unknown field, to that field. */
function pointer(instancePath: string, params: Record<string, unknown>): string {
  const field = params.missingProperty ?? params.additionalProperty;
  if (typeof field !== 'string') return instancePath;
  return `${instancePath}/${field.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
