import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { CommandError, EXIT } from './command-error.ts';
import { createTerminal } from './terminal.ts';

const FILE = '.env';

/**
 * Asks for settings and writes them to `.env`, which only its owner can read. Other lines of the file stay.
 * @throws CommandError when an answer is not valid, or on Ctrl+C; then nothing is written
 */
export async function init({ json = false }: { json?: boolean }): Promise<void> {
  const terminal = createTerminal();
  const before = await readFile(FILE, 'utf8').catch(() => '');
  const answers = await ask();
  const invalid = [...answers].find(([, value]) => /[\s'"`#\\]/.test(value));
  if (invalid !== undefined) {
    throw new CommandError(`${invalid[0]} must not contain spaces, quotes, backslashes or #.`);
  }

  const kept = before.split('\n').filter((text) => !answers.has(text.split('=')[0]?.trim() ?? ''));
  const lines = [...kept.join('\n').trimEnd().split('\n'), ...[...answers].map(([name, value]) => `${name}=${value}`)];
  const part = `${FILE}.part`;
  await writeFile(part, `${lines.filter((text, index) => index > 0 || text !== '').join('\n')}\n`, { mode: 0o600 });
  await rename(part, FILE);
  if (json) return terminal.json({ file: FILE, settings: [...answers.keys()] });
  terminal.info(`Wrote ${FILE}. Check the set-up: pullwright doctor. Then start the server: pullwright serve.`);
}

/** Returns the settings with an answer; an empty answer keeps the present value. */
async function ask(): Promise<Map<string, string>> {
  let hidden = false;
  const output = new Writable({
    write(chunk, _encoding, done) {
      if (!hidden) process.stderr.write(chunk);
      done();
    },
  });
  const input = createInterface({ input: process.stdin, output, terminal: process.stdin.isTTY === true });
  const lines = input[Symbol.asyncIterator]();
  const question = async (text: string, secret = false) => {
    process.stderr.write(`${text} `);
    hidden = secret;
    const { value, done } = await lines.next();
    hidden = false;
    if (process.stdin.isTTY && (secret || done)) process.stderr.write('\n');
    // Ctrl+C or Ctrl+D. Piped input may end before the last question.
    if (process.stdin.isTTY && done) throw new CommandError(`Interrupted; ${FILE} is unchanged.`, EXIT.interrupted);
    return done ? '' : String(value).trim();
  };
  try {
    const given: [string, string][] = [
      ['GEMINI_API_KEY', await question('Gemini API key, from https://aistudio.google.com/apikey:', true)],
      [
        'GITHUB_TOKEN',
        await question('GitHub token with access to contents and pull requests; empty to use the login of gh:', true),
      ],
      ['PORT', await question('Port of the server; empty for 8000:')],
    ];
    if (/^y/i.test(await question('Let other machines reach the server, with an API key? [y/N]'))) {
      given.push(['HOST', '0.0.0.0'], ['API_KEY', randomBytes(24).toString('base64url')]);
    }
    return new Map(given.filter(([, value]) => value !== ''));
  } finally {
    input.close();
  }
}
