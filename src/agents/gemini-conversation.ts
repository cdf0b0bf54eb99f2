import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const SESSION_ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;

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
export async function prepareGeminiLoad(chats: string, sessionId: string): Promise<boolean> {
  if (!SESSION_ID.test(sessionId)) return false;
  const shortId = sessionId.slice(0, 8);
  const entries = await readdir(chats, { withFileTypes: true }).catch(() => []);
  const files = entries
    .filter((entry) => entry.isFile() && entry.name.startsWith('session-') && entry.name.endsWith(`-${shortId}.jsonl`))
    .map((entry) => join(chats, entry.name));
  const sizes = await Promise.all(files.map(async (file) => ({ file, size: (await stat(file)).size })));
  const [session, ...others] = sizes.sort((a, b) => b.size - a.size);
  if (session === undefined) return false;

  for (const { file } of others) await rm(file);
  await rename(session.file, join(chats, `session-2000-01-01T00-00-${shortId}.jsonl`));
  return true;
}
