import type { Git } from '../../git/git.ts';
import { sink } from '../../git/sink.ts';
import type { TreeEntry } from './tree-limits.ts';

const KINDS: Readonly<Record<string, TreeEntry['kind']>> = {
  '040000': 'folder',
  '120000': 'link',
  '160000': 'submodule',
};
/** More than the longest path that a system takes: the rest of a longer record is not waited for. */
const MAX_RECORD_BYTES = 8192;
const TAB = 0x09;

/**
 * Reads the entries of a commit's tree, folders included, in the order of git: a folder, then what is in it.
 * @param visit returns whether to go on; after the first false it is not called again
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
  // -t lists folders: nested trees without any file in them could be walked for ever.
  const flags = ['-r', '-t', '-l', '-z', '--full-tree'];
  const { signal } = stop;
  await git.run(['ls-tree', ...flags, commit], { gitDir, signal, output: sink(read) }).catch((error) => {
    if (!signal.aborted) throw error;
  });
}

/** @param onRecord returns whether to go on */
function createRecordReader(onRecord: (record: Buffer) => boolean): (output: Buffer) => void {
  let begun: Buffer = Buffer.alloc(0);
  let goesOn = true;

  return (output) => {
    let rest = begun.length === 0 ? output : Buffer.concat([begun, output]);
    for (let end = rest.indexOf(0); goesOn && end !== -1; end = rest.indexOf(0)) {
      goesOn = onRecord(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
    if (goesOn && rest.length > MAX_RECORD_BYTES) goesOn = onRecord(rest);
    begun = goesOn ? rest : Buffer.alloc(0);
  };
}

/** `MODE TYPE OBJECT SIZE\tPATH`: https://git-scm.com/docs/git-ls-tree#_output_format. The size is `-` or `BAD` where there is none. */
function parseRecord(record: Buffer): TreeEntry {
  const tab = record.indexOf(TAB);
  const [mode = '', , object = '', size] = record.toString('latin1', 0, tab).split(/ +/);
  return { kind: KINDS[mode] ?? 'file', object, size: Number(size) || 0, path: record.subarray(tab + 1) };
}
