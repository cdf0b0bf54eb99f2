import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

/** A replacement in a source file of the project. */
export type Edit = { file: string; from: string; to: string };

/**
 * Removes defences from a program that loads it with `node --import`: it applies the edits of the variable
 * `REMOVED_DEFENCES` to modules as they are loaded. Throws when a file does not contain the text of its edit.
 */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const edits: Edit[] = JSON.parse(process.env.REMOVED_DEFENCES ?? '[]');

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
