import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

/** A place in the project's code, and what it reads instead. */
export type Edit = { file: string; from: string; to: string };

/**
 * Loaded before a program (`node --import`), takes defences away from it: the edits of the variable `TAKE_AWAY` are made
 * to the code as it is loaded. An edit whose place is not there ends the program, since then it would take nothing away.
 */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const edits: Edit[] = JSON.parse(process.env.TAKE_AWAY ?? '[]');

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const own = edits.filter(({ file }) => url.startsWith('file:') && fileURLToPath(url) === ROOT + file);
    if (own.length === 0) return loaded;
    const source = own.reduce(
      (text, { file, from, to }) => {
        if (!text.includes(from)) throw new Error(`${file} does not hold: ${from}`);
        return text.replace(from, () => to);
      },
      readFileSync(fileURLToPath(url), 'utf8'),
    );
    return { ...loaded, source };
  },
});
