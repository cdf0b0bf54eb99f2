import type { CreateKey, KeyCreated } from '../../schemas/key.ts';
import { call } from './client.ts';
import type { Server } from './server.ts';

/** A key that may do everything, for `API_KEY`. */
export const ADMIN_KEY = 'an-admin-key-of-the-environment';
export const asAdmin = { 'x-api-key': ADMIN_KEY };

/** Makes a key with the server's API_KEY; `headers` is what its holder sends. */
export async function makeKey(server: Server, request: Omit<CreateKey, 'name'>) {
  const { status, body } = await call<KeyCreated>(server, 'POST', '/v1/keys', { name: 'test', ...request }, asAdmin);
  if (status !== 201) throw new Error(`the key was not made: ${JSON.stringify(body)}`);
  return { ...body, headers: { 'x-api-key': body.key } };
}
