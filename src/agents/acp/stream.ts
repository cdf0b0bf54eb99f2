import { debuglog } from 'node:util';
import { type AnyMessage, type AnyResponse, methods, type Stream } from '@agentclientprotocol/sdk';
import { isRecord } from '../../json/is-record.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import type { SandboxedProcess } from '../../sandbox/types.ts';
import { readMessages } from './read-messages.ts';

/** Most requests of the agent that wait for a response. At the limit, the stream is read no further. */
const MAX_UNANSWERED = 100;
/** Longest id of a request, and most options of a permission request. */
const MAX_ID_CHARS = 256;
const MAX_OPTIONS = 100;
const METHOD_NOT_FOUND = { code: -32601, message: 'Method not found' };
const INTERNAL_ERROR = -32603;
const INVALID_PARAMS = { code: -32602, message: 'Invalid params' };

/** Prints every message to stderr under `NODE_DEBUG=acp`. */
const protocol = debuglog('acp');

/**
 * Creates the stream between an agent and the SDK: https://www.jsonrpc.org/specification
 *
 * Passes only responses and permission requests on to the SDK, because the SDK reads without back-pressure, echoes unknown requests in
 * its responses, and writes unexpected messages to the server's stderr. Reads no further while the agent does not read its
 * responses, or while `onUpdate` waits.
 * @param onUpdate receives the `update` of each `session/update`, in order; its promise is awaited
 */
export function createAcpStream(
  { stdin, stdout }: Pick<SandboxedProcess, 'stdin' | 'stdout'>,
  title: string,
  redactor: Pick<Redactor, 'json'>,
  onUpdate: (update: unknown) => Promise<void> | undefined,
): Stream {
  const asked = new Set<AnyResponse['id']>();
  let unanswered = 0;
  let answered = Promise.withResolvers<void>();

  function log(direction: '<' | '>', message: unknown): void {
    if (protocol.enabled) protocol('%s %s', direction, redactor.json(JSON.stringify(message)));
  }

  /** Writes a message; resolves when the agent's pipe has taken it, or is closed. */
  function write(message: object): Promise<void> {
    log('>', message);
    return new Promise((resolve) => {
      stdin.write(`${JSON.stringify(message)}\n`, () => resolve());
    });
  }

  async function* received(): AsyncGenerator<AnyMessage> {
    for await (const message of readMessages(stdout, title)) {
      log('<', message);
      if (!isRecord(message)) continue;
      const { id, method, params } = message;
      if (method === methods.client.session.update) {
        if (isRecord(params)) await onUpdate(params.update);
      } else if (method === undefined) {
        if (isId(id) && asked.delete(id)) yield toResponse(id, message);
      } else if (isId(id)) {
        const error = method === methods.client.session.requestPermission ? faultOf(params) : METHOD_NOT_FOUND;
        if (error !== undefined) {
          await write({ jsonrpc: '2.0', id, error });
          continue;
        }
        unanswered += 1;
        yield { jsonrpc: '2.0', id, method: String(method), params };
        while (unanswered >= MAX_UNANSWERED) await answered.promise;
      }
    }
  }

  return {
    readable: ReadableStream.from(received()),
    writable: new WritableStream({
      async write(message) {
        if ('method' in message && 'id' in message) asked.add(message.id);
        await write(message);
        if ('method' in message) return;
        unanswered -= 1;
        answered.resolve();
        answered = Promise.withResolvers();
      },
    }),
  };
}

function isId(id: unknown): id is string | number {
  return typeof id === 'number' || (typeof id === 'string' && id.length <= MAX_ID_CHARS);
}

/** Treats a response without result and error as an error. */
function toResponse(id: AnyResponse['id'], { result, error }: Record<string, unknown>): AnyResponse {
  if (error === undefined && result !== undefined) return { jsonrpc: '2.0', id, result };
  const { code, message, data } = isRecord(error) ? error : {};
  const known = { code: Number.isInteger(code) ? Number(code) : INTERNAL_ERROR, message: String(message ?? '') };
  return { jsonrpc: '2.0', id, error: { ...known, data } };
}

function faultOf(params: unknown): typeof INVALID_PARAMS | undefined {
  const options = isRecord(params) ? params.options : undefined;
  return Array.isArray(options) && options.length <= MAX_OPTIONS ? undefined : INVALID_PARAMS;
}
