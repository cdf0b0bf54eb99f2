import { type IncomingMessage, ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ConnectionError } from 'fastify';
import { AppError } from '../../src/errors/app-error.ts';
import { PROBLEM_TYPE, problemDocument } from '../../src/errors/problem-document.ts';

/** Time to read from a refused connection after the answer: an immediate close could lose the answer. */
const LINGER_TIMEOUT_MS = 2_000;

/** A request line (RFC 9112 §3) of any method and version. */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~\w-]+ \S+ HTTP\/(?<major>\d)\.\d$/;

/** Answers requests that Node's parser rejects before Fastify receives them: malformed, too large or too slow. */
export function answerConnectionError(error: ConnectionError, socket: Socket): void {
  // Further data of a request that was refused already.
  if (socket.writableEnded) return;
  // This text must not get into the body of a response that has started.
  const response = '_httpMessage' in socket ? socket._httpMessage : undefined;
  const answering = response instanceof ServerResponse && response.headersSent;
  if (error.code === 'ECONNRESET' || !socket.writable || answering) return void socket.destroy();
  refuse(socket, connectionProblem(error));
}

/** Answers CONNECT, which Node passes on as a bare connection. */
export function answerConnect(_request: IncomingMessage, socket: Duplex): void {
  socket.on('error', () => {});
  refuse(socket, new AppError('not_implemented', 'CONNECT is not implemented: the server is not a proxy.'));
}

/** Sends a problem and closes the connection (RFC 9112 §9.6). */
function refuse(socket: Duplex, problem: AppError): void {
  const body = JSON.stringify(problemDocument(problem));
  socket.end(
    [
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
      `date: ${new Date().toUTCString()}`,
      `content-type: ${PROBLEM_TYPE}`,
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  );
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_TIMEOUT_MS).unref();
  socket.once('end', () => socket.destroy()).once('close', () => clearTimeout(timer));
}

function connectionProblem(error: ConnectionError): AppError {
  const major = majorVersion(error);
  if (major !== undefined && major !== '1') return wrongVersion();
  switch (error.code) {
    case 'HPE_PAUSED_H2_UPGRADE':
      return wrongVersion();
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new AppError('request_timeout', 'The request did not arrive in time.');
    case 'HPE_HEADER_OVERFLOW':
      return isInRequestLine(error)
        ? new AppError('url_too_long', 'The URL is longer than 16 KiB.')
        : new AppError('headers_too_large', 'The headers are larger than 16 KiB.');
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new AppError('payload_too_large', 'The extensions of the chunks are larger than 16 KiB.');
    case 'HPE_INVALID_METHOD':
      // RFC 9110 §15.6.2, unless the data is not a request at all.
      return major === undefined ? invalid(error) : new AppError('not_implemented', 'The method is not implemented.');
    default:
      return invalid(error);
  }
}

/** Returns the HTTP version in the rejected request line; undefined when the data is not a request line. */
function majorVersion(error: ConnectionError): string | undefined {
  const packet = packetOf(error);
  const start = packet.lastIndexOf('\n', error.bytesParsed - 1) + 1;
  return REQUEST_LINE.exec(packet.slice(start).split(/\r?\n/, 1)[0] ?? '')?.groups?.major;
}

function isInRequestLine(error: ConnectionError): boolean {
  return /^[A-Z]+ [^\r\n]*$/.test(packetOf(error).slice(0, error.bytesParsed));
}

/** Returns the data that the parser rejected. */
function packetOf({ rawPacket }: ConnectionError): string {
  return Buffer.isBuffer(rawPacket) ? rawPacket.toString('latin1') : '';
}

function wrongVersion(): AppError {
  return new AppError('http_version_not_supported', 'The request is not HTTP/1.1.');
}

function invalid(error: ConnectionError): AppError {
  const reason = 'reason' in error && typeof error.reason === 'string' ? `: ${error.reason}` : '';
  return new AppError('invalid_request', `The request is not valid HTTP/1.1${reason}.`);
}
