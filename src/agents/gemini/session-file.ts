import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Confine } from '../../sandbox/confined/confine.ts';
import { runNodeTool } from '../../sandbox/confined/node-tool.ts';

const SESSION_ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;
const SCRIPT = fileURLToPath(new URL('session-file-tool.mjs', import.meta.url));

/**
 * Prepares the file of a session for `session/load`.
 *
 * Gemini CLI stores a session in `session-<minute>-<start of the id>.jsonl`. When it loads a session, it first creates a file of the
 * current minute. Within the minute of the session that is the same file, and the session is lost
 * (https://github.com/google-gemini/gemini-cli/issues/28693). So this renames the file to a past minute, and deletes the empty files of
 * earlier loads. It touches only regular files, since an agent can write to the folder.
 * @param chats folder of the session files, which no process may use
 * @returns whether there is a session to load
 */
export async function prepareGeminiLoad(confine: Confine, chats: string, sessionId: string): Promise<boolean> {
  if (!SESSION_ID.test(sessionId) || !existsSync(chats)) return false;
  const args = [chats, sessionId.slice(0, 8)];
  const printed = await runNodeTool(confine, { script: SCRIPT, args, writable: [chats] });
  return printed.toString() === 'ready';
}
