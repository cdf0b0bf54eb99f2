import type { Git } from '../../git/git.ts';
import { sink } from '../../git/sink.ts';
import type { TreeEntry } from './tree-limits.ts';

const KINDS: Readonly<Record<string, TreeEntry['kind']>> = {
  '040000': 'folder',
  '120000': 'link',
  '160000': 'submodule',
};
/** More than the longest path of any system. The rest of a longer record is not read. */
const MAX_RECORD_BYTES = 8192;
const TAB = 0x09;

/**
 * Streams the entries of a commit's tree in the order of git: a folder, then its entries.
 * @param visit returns whether to continue; it is not called again after the first false
 */
export async function readTreeEntries(
  git: Git,
  gitDir: string,
  commit: string,
  visit: (entry: TreeEntry) => boolean,
): Promise<void> {
  const stop = new AbortController();
  const read = createRecordReader((record) => {
    if (!visit(parseRecord(record))) stop.abort();
    return !stop.signal.aborted;
  });
  // -t lists folders. Without it, nested trees without a file could run forever without output.
  const flags = ['-r', '-t', '-l', '-z', '--full-tree'];
  const { signal } = stop;
  await git.run(['ls-tree', ...flags, commit], { gitDir, signal, output: sink(read) }).catch((error) => {
    if (!signal.aborted) throw error;
  });
}

/** @param onRecord returns whether to continue */
function createRecordReader(onRecord: (record: Buffer) => boolean): (output: Buffer) => void {
  let pending: Buffer = Buffer.alloc(0);
  let active = true;

  return (output) => {
    let rest = pending.length === 0 ? output : Buffer.concat([pending, output]);
    for (let end = rest.indexOf(0); active && end !== -1; end = rest.indexOf(0)) {
      active = onRecord(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
    if (active && rest.length > MAX_RECORD_BYTES) active = onRecord(rest);
    pending = active ? rest : Buffer.alloc(0);
  };
}

/** `MODE TYPE OBJECT SIZE\tPATH`: https://git-scm.com/docs/git-ls-tree#_output_format. The size is `-` or `BAD` for an entry without content. */
function parseRecord(record: Buffer): TreeEntry {
  const tab = record.indexOf(TAB);
  const [mode = '', , object = '', size] = record.toString('latin1', 0, tab).split(/ +/);
  return { kind: KINDS[mode] ?? 'file', object, size: Number(size) || 0, path: record.subarray(tab + 1) };
}
