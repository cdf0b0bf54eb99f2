import type { CreateKey, KeyCreated } from '../../schemas/key.ts';
import { call } from './client.ts';
import type { Server } from './server.ts';

/** The value of `API_KEY`, a key with the scope admin. */
export const ADMIN_KEY = 'an-admin-key-of-the-environment';
export const asAdmin = { 'x-api-key': ADMIN_KEY };

/** Creates a key. Its `headers` authenticate a request. */
export async function makeKey(server: Server, request: Omit<CreateKey, 'name'>) {
  const { status, body } = await call<KeyCreated>(server, 'POST', '/v1/keys', { name: 'test', ...request }, asAdmin);
  if (status !== 201) throw new Error(`the key was not created: ${JSON.stringify(body)}`);
  return { ...body, headers: { 'x-api-key': body.key } };
}
