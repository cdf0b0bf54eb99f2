import { splitZ } from '../../files/null-separated.ts';
import type { Git } from '../../git/git.ts';
import { readBlobs } from '../../git/read-blobs.ts';
import { printable } from './format-paths.ts';

/**
 * Attributes with which GitHub folds the changes of a file, or does not count them:
 * https://docs.github.com/en/repositories/working-with-files/managing-files/customizing-how-changed-files-appear-on-github.
 * The files that set them are not protected, since most attributes are legitimate. The pull request lists the lines.
 */
const HIDING = ['linguist-generated', 'linguist-vendored', 'linguist-documentation', 'diff', 'binary'];
const FILE = '.gitattributes';
const MAX_BYTES = 256 * 1024;
const LINK = '120000';
const NO_BLOB = /^0+$/;

type AttributesFile = { path: string; before: string | undefined; after: string | undefined };

/**
 * Finds lines of attributes that differ between two trees and may hide changes from review.
 * @returns lines for a person, such as `.gitattributes: *.ts linguist-generated`; not redacted
 */
export async function hidingAttributes(git: Git, gitDir: string, from: string, to: string): Promise<string[]> {
  const files = await changedAttributes(git, gitDir, from, to);
  if (files.length === 0) return [];
  const blobs = files.flatMap(({ before, after }) => [before, after].flatMap((blob) => blob ?? []));
  const root = await git.query(gitDir).blob(`${to}:${FILE}`);
  const texts = await readTexts(git, gitDir, [...blobs, ...(root === undefined ? [] : [root])]);
  const text = (blob: string | undefined) => (blob === undefined ? '' : texts.get(blob));
  // Only the file in the root may define macros.
  const names = new Set([...HIDING, ...macrosIn(text(root) ?? '')]);

  return files.flatMap(({ path, before, after }) => {
    const [old, fresh] = [text(before), text(after)];
    if (old === undefined || fresh === undefined) return [`${path}: too long to check`];
    return changes(hidingLines(old, names), hidingLines(fresh, names)).map((change) => `${path}${change}`);
  });
}

function changes(old: readonly string[], fresh: readonly string[]): string[] {
  if (old.join('\n') === fresh.join('\n')) return [];
  const added = fresh.filter((line) => !old.includes(line)).map((line) => `: ${line}`);
  const removed = old.filter((line) => !fresh.includes(line)).map((line) => `, removed: ${line}`);
  // The last line for a file wins, so the order matters.
  return added.length + removed.length > 0
    ? [...added, ...removed]
    : fresh.map((line) => `, in another order: ${line}`);
}

/** Returns the lines that set, unset or give a value to one of these attributes: https://git-scm.com/docs/gitattributes */
function hidingLines(text: string, names: ReadonlySet<string>): string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => !line.startsWith('#') && attributesOf(line).some((name) => names.has(name)));
}

function macrosIn(text: string): string[] {
  return text.split(/\r?\n/).flatMap((line) => {
    const [macro = ''] = line.trim().split(/\s+/);
    return macro.startsWith('[attr]') && attributesOf(line).some((name) => HIDING.includes(name))
      ? [macro.slice('[attr]'.length)]
      : [];
  });
}

/** Returns the names of the attributes of a line, after its pattern, which may be quoted. */
function attributesOf(line: string): string[] {
  const attributes = line.trim().replace(/^(?:"(?:[^"\\]|\\.)*"|\S+)/, '');
  return attributes.split(/\s+/).flatMap((word) => /^[-!]?([^=]+)/.exec(word)?.[1] ?? []);
}

async function changedAttributes(git: Git, gitDir: string, from: string, to: string): Promise<AttributesFile[]> {
  const { stdout } = await git.run(['diff-tree', '-r', '-z', '--raw', '--no-renames', '--no-abbrev', from, to], {
    gitDir,
  });
  const records = splitZ(stdout);
  const files: AttributesFile[] = [];
  for (let index = 0; index + 1 < records.length; index += 2) {
    const path = printable(records[index + 1] ?? '');
    if (path !== FILE && !path.endsWith(`/${FILE}`)) continue;
    const [oldMode = '', newMode = '', before = '', after = ''] = String(records[index]).slice(1).split(' ');
    // git ignores a link.
    const blob = (mode: string, id: string) => (NO_BLOB.test(id) || mode === LINK ? undefined : id);
    files.push({ path, before: blob(oldMode, before), after: blob(newMode, after) });
  }
  return files;
}

/** Reads texts by blob, except those that are too long. */
async function readTexts(git: Git, gitDir: string, blobs: readonly string[]): Promise<Map<string, string>> {
  const pieces = new Map<string, Buffer[]>();
  const sizes = new Map<string, number>();
  await readBlobs(git, gitDir, [...new Set(blobs)], (blob, piece) => {
    const size = (sizes.get(blob) ?? 0) + piece.length;
    sizes.set(blob, size);
    if (size <= MAX_BYTES) pieces.set(blob, [...(pieces.get(blob) ?? []), Buffer.from(piece)]);
  });
  const whole = blobs.filter((blob) => (sizes.get(blob) ?? 0) <= MAX_BYTES);
  return new Map(whole.map((blob) => [blob, Buffer.concat(pieces.get(blob) ?? []).toString()]));
}
