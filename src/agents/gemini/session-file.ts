import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Confine } from '../../sandbox/confined/confine.ts';
import { runNodeTool } from '../../sandbox/confined/node-tool.ts';

const SESSION_ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;
const SCRIPT = fileURLToPath(new URL('session-file-tool.mjs', import.meta.url));

/**
 * Readies the file of a session for `session/load`.
 *
 * Gemini CLI keeps a session in `session-<minute>-<start of the id>.jsonl` and, when it loads one, first begins a new
 * file of the present minute. In the minute in which the session began that is the same file, and the session is lost
 * (https://github.com/google-gemini/gemini-cli/issues/28693). So the file is given a minute long past, and the empty
 * ones that earlier loads began are removed. The agent could write in the folder: only plain files are touched.
 * @param chats folder of the session files; no process may be using it
 * @returns whether there is something to load
 */
export async function prepareGeminiLoad(confine: Confine, chats: string, sessionId: string): Promise<boolean> {
  if (!SESSION_ID.test(sessionId) || !existsSync(chats)) return false;
  const args = [chats, sessionId.slice(0, 8)];
  const printed = await runNodeTool(confine, { script: SCRIPT, args, writable: [chats] });
  return printed.toString() === 'ready';
}
