// Runs confined to two folders, see copy-tree.ts. Copies regular files within limits and prints the number of skipped entries.
import { copyFileSync, lstatSync, mkdirSync, opendirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';

const [from, to, maxDepth, maxFiles, maxBytes] = process.argv.slice(2);
let files = 0;
let bytes = 0;
let skipped = 0;

function copyFile(source, target) {
  const { size, atime, mtime } = lstatSync(source);
  if (files + 1 > Number(maxFiles) || bytes + size > Number(maxBytes)) throw new Error('limit exceeded');
  copyFileSync(source, target);
  utimesSync(target, atime, mtime);
  files += 1;
  bytes += size;
}

function copyFolder(source, target, depth) {
  mkdirSync(target, { recursive: true });
  const folder = opendirSync(source);
  for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
    try {
      if (entry.isDirectory() && depth < Number(maxDepth)) {
        copyFolder(join(source, entry.name), join(target, entry.name), depth + 1);
      } else if (entry.isFile()) copyFile(join(source, entry.name), join(target, entry.name));
      else skipped += 1;
    } catch {
      // Unreadable, vanished meanwhile, a name too long, or beyond the limits.
      skipped += 1;
    }
  }
  folder.closeSync();
}

copyFolder(from, to, 0);
process.stdout.write(String(skipped));
