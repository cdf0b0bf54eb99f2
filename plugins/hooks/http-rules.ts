import { isIPv6 } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';
import { answerConnect } from '../core/connection-errors.ts';

/** Header fields that a request may hold once: of two, one program reads the first and another the last. */
const SINGLE_FIELDS = new Set([
  'authorization',
  'content-type',
  'host',
  'idempotency-key',
  'last-event-id',
  'origin',
  'x-api-key',
]);

/** `uri-host [":" port]` (RFC 9110 §7.2), of the names that hosts have; never empty, and without user information. */
const HOST = /^(?:\[(?<ipv6>[\da-f:.]+)\]|[\w.-]+)(?::(?<port>\d*))?$/i;

/** `absolute-form` of a request target (RFC 9112 §3.2.2). */
const ABSOLUTE_FORM = /^(?<scheme>https?):\/\/(?<authority>[^/?]*)(?<rest>.*)$/i;

/**
 * Refuses requests that RFC 9110 and RFC 9112 have a server refuse and that Node lets pass: what one program on the way
 * reads differently from another one is how requests are smuggled. Such a request ends its connection.
 */
export default fp(
  async (app) => {
    const { server } = app;
    // Each of these, Node would answer itself, and without a body.
    server.on('checkExpectation', (request, response) => server.emit('request', request, response));
    server.on('connect', answerConnect);
    // The size of all headers is limited (`src/app.ts`). By default, Node leaves out those after the thousandth.
    server.maxHeadersCount = 0;
    app.addHook('onRequest', (request, reply, done) => {
      done(refusal(request, reply));
    });
  },
  { name: 'http-rules' },
);

/** Turns a request target in absolute form into its path and query (RFC 9112 §3.2.2); leaves every other one as it is. */
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
  return new AppError('http_version_not_supported', `The request is of HTTP/${raw.httpVersion}.`);
}

function wrongFields({ raw, headers }: FastifyRequest): AppError | undefined {
  const seen = new Set<string>();
  for (let index = 0; index < raw.rawHeaders.length; index += 2) {
    const name = raw.rawHeaders[index]?.toLowerCase() ?? '';
    if (!SINGLE_FIELDS.has(name)) continue;
    if (seen.has(name)) return wrongHeader(name, 'comes more than once', 'must come once');
    seen.add(name);
  }
  const { host } = headers;
  // HTTP/1.0 has no such header.
  if (host === undefined) return raw.httpVersion === '1.0' ? undefined : wrongHeader('host', 'is missing', 'must come');
  return isHost(host) ? undefined : wrongHeader('host', 'is not valid', 'must be a host name with an optional port');
}

/** What a client asks of a proxy or a server as a whole is no path. Both places that name a host must name the same one. */
function wrongTarget({ originalUrl, headers, method }: FastifyRequest): AppError | undefined {
  if (originalUrl === '*') return method === 'OPTIONS' ? undefined : wrongUrl('`*` is for OPTIONS');
  if (originalUrl.includes('#')) return wrongUrl('it holds a fragment');
  if (originalUrl.startsWith('/')) return undefined;
  const { scheme, authority } = ABSOLUTE_FORM.exec(originalUrl)?.groups ?? {};
  if (scheme === undefined || authority === undefined || !isHost(authority))
    return wrongUrl('it names no host of HTTP');
  const port = scheme.toLowerCase() === 'http' ? '80' : '443';
  const named = [authority, headers.host ?? authority].map((host) => withPort(host.toLowerCase(), port));
  return named[0] === named[1] ? undefined : wrongUrl('it names another host than the header Host');
}

/** Node refuses what is ambiguous in HTTP/1.1, but passes on a body in a coding that nobody decodes (RFC 9112 §6.1). */
function wrongFraming({ headers, raw }: FastifyRequest): AppError | undefined {
  const { 'transfer-encoding': coding, expect } = headers;
  if (coding !== undefined && raw.httpVersion === '1.0') {
    return wrongHeader('transfer-encoding', 'came with HTTP/1.0', 'must not come with HTTP/1.0');
  }
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    return new AppError('not_implemented', 'Of transfer codings, the server knows chunked alone.');
  }
  if (expect === undefined || raw.httpVersion === '1.0' || expect.toLowerCase() === '100-continue') return undefined;
  return new AppError('expectation_failed', 'The server can meet the expectation 100-continue alone.');
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
