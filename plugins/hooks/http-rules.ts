import { isIPv6 } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';
import { answerConnect } from '../core/connection-errors.ts';

/** Header fields that a request may have once: of two, some programs use the first and others the last. */
const SINGLE_FIELDS = new Set([
  'authorization',
  'content-type',
  'host',
  'idempotency-key',
  'last-event-id',
  'origin',
  'x-api-key',
]);

/** `uri-host [":" port]` (RFC 9110 §7.2), restricted to host names and addresses, without user information. */
const HOST = /^(?:\[(?<ipv6>[\da-f:.]+)\]|[\w.-]+)(?::(?<port>\d*))?$/i;

/** `absolute-form` of a request target (RFC 9112 §3.2.2). */
const ABSOLUTE_FORM = /^(?<scheme>https?):\/\/(?<authority>[^/?]*)(?<rest>.*)$/i;

/**
 * Refuses requests that RFC 9110 and RFC 9112 forbid and Node accepts, against request smuggling: intermediaries may interpret
 * them differently. The connection is closed after the answer.
 */
export default fp(
  async (app) => {
    const { server } = app;
    // Node would answer both events itself, without a body.
    server.on('checkExpectation', (request, response) => server.emit('request', request, response));
    server.on('connect', answerConnect);
    // By default, Node omits headers after the thousandth. `maxHeaderSize` in `src/app.ts` limits them instead.
    server.maxHeadersCount = 0;
    app.addHook('onRequest', (request, reply, done) => {
      done(refusal(request, reply));
    });
  },
  { name: 'http-rules' },
);

/** Returns the path and query of a request target in absolute form (RFC 9112 §3.2.2); returns other targets unchanged. */
export function originForm(target: string): string {
  const rest = ABSOLUTE_FORM.exec(target)?.groups?.rest;
  if (rest === undefined) return target;
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function refusal(request: FastifyRequest, reply: FastifyReply): AppError | undefined {
  const problem = wrongVersion(request) ?? wrongFields(request) ?? wrongTarget(request) ?? wrongFraming(request);
  if (problem !== undefined) reply.header('connection', 'close');
  return problem;
}

function wrongVersion({ raw }: FastifyRequest): AppError | undefined {
  if (raw.httpVersionMajor === 1) return undefined;
  return new AppError('http_version_not_supported', `HTTP/${raw.httpVersion} is not supported.`);
}

function wrongFields({ raw, headers }: FastifyRequest): AppError | undefined {
  const seen = new Set<string>();
  for (let index = 0; index < raw.rawHeaders.length; index += 2) {
    const name = raw.rawHeaders[index]?.toLowerCase() ?? '';
    if (!SINGLE_FIELDS.has(name)) continue;
    if (seen.has(name)) return wrongHeader(name, 'occurs more than once', 'must occur once');
    seen.add(name);
  }
  const { host } = headers;
  // HTTP/1.0 requires no Host.
  if (host === undefined)
    return raw.httpVersion === '1.0' ? undefined : wrongHeader('host', 'is missing', 'is required');
  return isHost(host) ? undefined : wrongHeader('host', 'is not valid', 'must be a host name with an optional port');
}

/** Checks the form of the request target, and that its host, if any, equals `Host`. */
function wrongTarget({ originalUrl, headers, method }: FastifyRequest): AppError | undefined {
  if (originalUrl === '*') return method === 'OPTIONS' ? undefined : wrongUrl('`*` is for OPTIONS');
  if (originalUrl.includes('#')) return wrongUrl('it has a fragment');
  if (originalUrl.startsWith('/')) return undefined;
  const { scheme, authority } = ABSOLUTE_FORM.exec(originalUrl)?.groups ?? {};
  if (scheme === undefined || authority === undefined || !isHost(authority))
    return wrongUrl('it is not an http or https URL');
  const port = scheme.toLowerCase() === 'http' ? '80' : '443';
  const named = [authority, headers.host ?? authority].map((host) => withPort(host.toLowerCase(), port));
  return named[0] === named[1] ? undefined : wrongUrl('its host differs from the header Host');
}

/** Node rejects ambiguous framing in HTTP/1.1, but accepts transfer codings that it does not decode (RFC 9112 §6.1). */
function wrongFraming({ headers, raw }: FastifyRequest): AppError | undefined {
  const { 'transfer-encoding': coding, expect } = headers;
  if (coding !== undefined && raw.httpVersion === '1.0') {
    return wrongHeader('transfer-encoding', 'is not part of HTTP/1.0', 'must be absent in HTTP/1.0');
  }
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    return new AppError('not_implemented', 'The only supported transfer coding is chunked.');
  }
  if (expect === undefined || raw.httpVersion === '1.0' || expect.toLowerCase() === '100-continue') return undefined;
  return new AppError('expectation_failed', 'The only supported expectation is 100-continue.');
}

function isHost(text: string): boolean {
  const { ipv6, port } = HOST.exec(text)?.groups ?? {};
  if (!HOST.test(text) || Number(port ?? 0) > 65_535) return false;
  return ipv6 === undefined || isIPv6(ipv6);
}

function withPort(host: string, port: string): string {
  return /:\d+$/.test(host) ? host : `${host.replace(/:$/, '')}:${port}`;
}

function wrongUrl(why: string): AppError {
  return new AppError('invalid_request', `The URL is not valid: ${why}.`);
}

function wrongHeader(name: string, detail: string, message: string): AppError {
  return new AppError('invalid_request', `The header ${name} ${detail}.`, { errors: [{ path: `/${name}`, message }] });
}
