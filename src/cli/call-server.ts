import type { TSchema } from '@sinclair/typebox';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { CommandError } from './command-error.ts';

export type ServerAccess = { url: string; apiKey: string | undefined };

const Refusal = Type.Object({ detail: Type.String(), remedy: Type.Optional(Type.String()) });

/**
 * One request to the server.
 * @param answer schema of the answer that is expected
 * @throws CommandError with what the server says, or that there is none
 */
export async function callServer<Answer extends TSchema>(
  { url, apiKey }: ServerAccess,
  request: { method: string; path: string; body?: object },
  answer: Answer,
): Promise<Static<Answer>> {
  const response = await fetch(address(url, request.path), {
    method: request.method,
    headers: {
      ...(apiKey === undefined ? {} : { 'x-api-key': apiKey }),
      ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
  }).catch(() => {
    throw new CommandError(`No server answers at ${url}. Start it, or set PULLWRIGHT_URL.`);
  });
  const body: unknown = response.status === 204 ? null : await response.json().catch(() => undefined);
  if (response.ok && Value.Check(answer, body)) return body;
  throw refusal(url, response.status, body);
}

/**
 * The body of an answer that is a file.
 * @returns undefined when no server answers
 * @throws CommandError with what the server says
 */
export async function openAnswer(
  { url, apiKey }: ServerAccess,
  request: { method: string; path: string },
): Promise<ReadableStream<Uint8Array> | undefined> {
  const headers = apiKey === undefined ? {} : { 'x-api-key': apiKey };
  const response = await fetch(address(url, request.path), { method: request.method, headers }).catch(() => undefined);
  if (response === undefined) return undefined;
  if (response.ok && response.body !== null) return response.body;
  throw refusal(url, response.status, await response.json().catch(() => undefined));
}

function refusal(url: string, status: number, body: unknown): CommandError {
  if (Value.Check(Refusal, body)) return new CommandError(`${body.detail} ${body.remedy ?? ''}`.trim());
  return new CommandError(`What answers at ${url} is not a Pullwright server (status ${status}).`);
}

function address(url: string, path: string): URL {
  if (!URL.canParse(path, url)) throw new CommandError(`PULLWRIGHT_URL is ${JSON.stringify(url)}, which is no URL.`);
  return new URL(path, url);
}
