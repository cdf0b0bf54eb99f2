// Runs confined to the session files of a conversation; see session-file.ts. Arguments: the folder, and the start of a session id.
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const [chats, shortId] = process.argv.slice(2);

const files = readdirSync(chats, { withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.startsWith('session-') && entry.name.endsWith(`-${shortId}.jsonl`))
  .map(({ name }) => join(chats, name));
const [session, ...others] = files
  .map((file) => ({ file, size: statSync(file).size }))
  .sort((one, other) => other.size - one.size);
for (const { file } of others) rmSync(file);
if (session !== undefined) {
  renameSync(session.file, join(chats, `session-2000-01-01T00-00-${shortId}.jsonl`));
  process.stdout.write('ready');
}
