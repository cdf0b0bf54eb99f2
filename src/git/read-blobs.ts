import { AppError } from '../errors/app-error.ts';
import type { Git } from './git.ts';
import { sink } from './sink.ts';

/**
 * Streams blobs, in the order of `blobs`.
 * @param onPiece called with each piece of a blob; never for an empty blob
 * @throws AppError `workspace_tampered` when one is missing
 */
export async function readBlobs(
  git: Git,
  gitDir: string,
  blobs: readonly string[],
  onPiece: (blob: string, piece: Buffer) => void,
): Promise<void> {
  if (blobs.length === 0) return;
  const input = blobs.map((blob) => `${blob}\n`).join('');
  const reader = createBatchReader(onPiece);
  await git.run(['cat-file', '--batch', '--buffer'], { gitDir, input, output: sink(reader.read) });
  if (reader.complete() !== blobs.length) {
    throw new AppError('workspace_tampered', 'The files of the commit could not all be read back.');
  }
}

/** Parses `SHA TYPE SIZE\n`, the content and `\n` of each object: https://git-scm.com/docs/git-cat-file#_batch_output */
function createBatchReader(onPiece: (blob: string, piece: Buffer) => void) {
  let head = '';
  let blob = '';
  /** Remaining bytes of the object and its line end; 0 in a header. */
  let left = 0;
  let complete = 0;

  function read(output: Buffer): void {
    let rest = output;
    while (rest.length > 0) {
      if (left === 0) {
        const end = rest.indexOf('\n');
        head += rest.subarray(0, end === -1 ? rest.length : end).toString('latin1');
        if (end === -1) return;
        rest = rest.subarray(end + 1);
        const [sha = '', , size] = head.split(' ');
        [head, blob, left] = ['', sha, size === undefined ? 0 : Number(size) + 1];
      } else {
        const piece = rest.subarray(0, left);
        rest = rest.subarray(piece.length);
        left -= piece.length;
        if (left === 0) complete += 1;
        const content = left === 0 ? piece.subarray(0, -1) : piece;
        if (content.length > 0) onPiece(blob, content);
      }
    }
  }

  return { read, complete: () => complete };
}
