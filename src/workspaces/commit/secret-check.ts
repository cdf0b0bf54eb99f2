import { AppError } from '../../errors/app-error.ts';
import { splitZ } from '../../files/null-separated.ts';
import type { Git } from '../../git/git.ts';
import { readBlobs } from '../../git/read-blobs.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import { listPaths, printable } from '../worktree/format-paths.ts';
import { createShapeSearch } from './credential-shapes.ts';

const NO_OBJECT = /^0+$/;

/** A file that a tree adds or changes, with its blobs. `before` is undefined for a new file. */
type ChangedFile = { before: string | undefined; after: string; path: Buffer };

/**
 * Searches the paths and the content of the files that a tree adds or changes, including binary files.
 * @returns notes on files with new text that looks like a credential. It is not refused: test data and documentation often
 * contain such text, and nobody could approve the commit
 * @throws AppError `secret_in_diff` for a secret of the server
 */
export async function checkForSecrets(
  git: Git,
  gitDir: string,
  redactor: Redactor,
  parent: string,
  tree: string,
): Promise<string[]> {
  const files = await changedFiles(git, gitDir, parent, tree);
  const withSecret = new Set<string>();
  const shapes = createShapesByBlob();
  let current = { blob: '', search: redactor.search() };
  await readBlobs(git, gitDir, unique(files.map(({ after }) => after)), (blob, piece) => {
    if (current.blob !== blob) current = { blob, search: redactor.search() };
    if (current.search(piece)) withSecret.add(blob);
    shapes.push(blob, piece);
  });
  const leaking = files.filter(({ after, path }) => withSecret.has(after) || redactor.search()(path));
  if (leaking.length > 0) throw secretInDiff(leaking.map(({ path }) => redactor.text(path.toString())));
  return notesOnShapes(git, gitDir, files, shapes);
}

async function notesOnShapes(git: Git, gitDir: string, files: ChangedFile[], shapes: ShapesByBlob): Promise<string[]> {
  const suspicious = files.filter(({ after }) => shapes.of(after).length > 0);
  const earlier = createShapesByBlob();
  const before = suspicious.flatMap((file) => file.before ?? []);
  await readBlobs(git, gitDir, unique(before), earlier.push);
  return suspicious.flatMap((file) => {
    const old = file.before === undefined ? [] : earlier.of(file.before);
    const fresh = shapes.of(file.after).filter((name) => !old.includes(name));
    return fresh.map((name) => `${printable(file.path)} has text that looks like ${name}. It was committed.`);
  });
}

type ShapesByBlob = ReturnType<typeof createShapesByBlob>;

/** Collects the shapes of credentials by blob. */
function createShapesByBlob() {
  const found = new Map<string, Set<string>>();
  let current = { blob: '', search: createShapeSearch() };
  return {
    push(blob: string, piece: Buffer): void {
      if (current.blob !== blob) current = { blob, search: createShapeSearch() };
      current.search.push(piece);
      if (current.search.found.size > 0) found.set(blob, current.search.found);
    },
    of: (blob: string): string[] => [...(found.get(blob) ?? [])],
  };
}

async function changedFiles(git: Git, gitDir: string, parent: string, tree: string): Promise<ChangedFile[]> {
  const flags = ['-r', '-z', '--raw', '--no-renames', '--no-abbrev', '--diff-filter=d'];
  const { stdout } = await git.run(['diff-tree', ...flags, parent, tree], { gitDir });
  const records = splitZ(stdout);
  const files: ChangedFile[] = [];
  for (let index = 0; index + 1 < records.length; index += 2) {
    const [, , before = '', after = ''] = String(records[index]).split(' ');
    files.push({ before: NO_OBJECT.test(before) ? undefined : before, after, path: records[index + 1] ?? Buffer.of() });
  }
  return files;
}

function secretInDiff(paths: readonly string[]): AppError {
  return new AppError('secret_in_diff', `A secret of the server would be published in ${listPaths(paths, 5)}.`);
}

function unique(blobs: readonly string[]): string[] {
  return [...new Set(blobs)];
}
