// Runs confined to one tree that an agent can write to, see tree-programs.ts. Links cannot lead outside the tree. Input and
// output are paths relative to the tree, as bytes, each followed by NUL.
import { chmodSync, lstatSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

const [operation, root, ...args] = process.argv.slice(2);
const SLASH = Buffer.from('/');
const END = Buffer.of(0);

const input = () => readFileSync(0);

const inTree = (path) => Buffer.concat([Buffer.from(root), SLASH, path]);

function splitZ(bytes) {
  const parts = [];
  let start = 0;
  for (let end = bytes.indexOf(0); end !== -1; end = bytes.indexOf(0, start)) {
    parts.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

function attempt(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** Renames an entry. Makes a folder writable first, because the server moves it again. */
function moveAside(path, name) {
  if (lstatSync(path).isDirectory()) chmodSync(path, 0o700);
  renameSync(path, `${root}/${name}`);
}

/** Returns whether a file can be removed from a path, also when none exists. */
function isRemovable(path) {
  try {
    return !lstatSync(inTree(path)).isDirectory();
  } catch (error) {
    return error.code === 'ENOENT' || error.code === 'ENOTDIR';
  }
}

const OPERATIONS = {
  /** Prints the input files larger than a limit: `BYTES PATH`. */
  large([limit]) {
    return splitZ(input()).flatMap((path) => {
      const found = attempt(() => lstatSync(inTree(path)));
      if (!found?.isFile() || found.size <= Number(limit)) return [];
      return [Buffer.from(`${found.size} `), path, END];
    });
  },

  /** Prints the input paths that are folders or that the file system refuses. */
  unremovable() {
    return splitZ(input()).flatMap((path) => (isRemovable(path) ? [] : [path, END]));
  },

  /** Prints the input paths that are not empty folders. */
  occupied() {
    return splitZ(input()).flatMap((path) => {
      const names = attempt(() => readdirSync(inTree(path)));
      return names?.length === 0 ? [] : [path, END];
    });
  },

  /** Writes the input text to `.git`. Renames a different `.git` to `name` and prints `moved`. */
  restore([name]) {
    const path = `${root}/.git`;
    const text = input();
    const found = attempt(() => lstatSync(path));
    if (found?.isFile() && found.size === text.length && attempt(() => readFileSync(path))?.equals(text)) return [];
    if (found) moveAside(path, name);
    writeFileSync(path, text, { flag: 'wx' });
    return found ? [Buffer.from('moved')] : [];
  },

  /** Renames the `.git` of the input folder to `name`. */
  unnest([name]) {
    const [folder] = splitZ(input());
    moveAside(inTree(Buffer.concat([folder, Buffer.from('/.git')])), name);
    return [];
  },
};

process.stdout.write(Buffer.concat(OPERATIONS[operation](args)));
