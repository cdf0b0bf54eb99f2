// Runs confined to one tree that an agent can write (see tree-programs.ts): what it is led to by a link is in that tree, or
// is not there. Paths come and go as bytes, each followed by NUL, relative to the tree.
import { chmodSync, lstatSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

const [operation, root, ...args] = process.argv.slice(2);
const SLASH = Buffer.from('/');
const END = Buffer.of(0);

/** What is to be read from standard input. */
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

/** Gives an entry another name; a folder without write permission could not be moved on from there. */
function moveAside(path, name) {
  if (lstatSync(path).isDirectory()) chmodSync(path, 0o700);
  renameSync(path, `${root}/${name}`);
}

/** Whether a file can be removed from a path: also when there is none. */
function isRemovable(path) {
  try {
    return !lstatSync(inTree(path)).isDirectory();
  } catch (error) {
    return error.code === 'ENOENT' || error.code === 'ENOTDIR';
  }
}

const OPERATIONS = {
  /** Of the files whose paths it reads, those above a size: `BYTES PATH`. */
  large([limit]) {
    return splitZ(input()).flatMap((path) => {
      const found = attempt(() => lstatSync(inTree(path)));
      if (!found?.isFile() || found.size <= Number(limit)) return [];
      return [Buffer.from(`${found.size} `), path, END];
    });
  },

  /** Of the paths that it reads, those of folders, and those that the file system refuses. */
  unremovable() {
    return splitZ(input()).flatMap((path) => (isRemovable(path) ? [] : [path, END]));
  },

  /** Of the folders whose paths it reads, those that are something else now, or hold something. */
  occupied() {
    return splitZ(input()).flatMap((path) => {
      const names = attempt(() => readdirSync(inTree(path)));
      return names?.length === 0 ? [] : [path, END];
    });
  },

  /** Makes `.git` a file with the text that it reads. Renames what else is there to `name`, and then prints `moved`. */
  restore([name]) {
    const path = `${root}/.git`;
    const text = input();
    const found = attempt(() => lstatSync(path));
    if (found?.isFile() && found.size === text.length && attempt(() => readFileSync(path))?.equals(text)) return [];
    if (found) moveAside(path, name);
    writeFileSync(path, text, { flag: 'wx' });
    return found ? [Buffer.from('moved')] : [];
  },

  /** Renames the `.git` of the folder whose path it reads to `name`. */
  unnest([name]) {
    const [folder] = splitZ(input());
    moveAside(inTree(Buffer.concat([folder, Buffer.from('/.git')])), name);
    return [];
  },
};

process.stdout.write(Buffer.concat(OPERATIONS[operation](args)));
