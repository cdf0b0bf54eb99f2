import type { Diff, FileChange } from '../../../schemas/ticket.ts';
import { splitZ } from '../../files/null-separated.ts';
import type { Git, GitOptions } from '../../git/git.ts';

const MAX_PATCH_BYTES = 5 * 1024 * 1024;
const STATUS: Readonly<Record<string, FileChange['status']>> = {
  A: 'added',
  D: 'deleted',
  R: 'renamed',
  T: 'type_changed',
};
/** No filter, textconv or external command of a repository runs: git compares trees, not files. */
const FLAGS = ['-r', '--find-renames', '--no-ext-diff', '--no-textconv', '--submodule=short'];

/**
 * Compares two trees.
 * @param where options with which git finds their objects
 */
export async function diffTrees(
  git: Git,
  where: GitOptions,
  from: string,
  to: string,
): Promise<Pick<Diff, 'files' | 'patch' | 'truncated'>> {
  const [summary, { stdout, truncated }] = await Promise.all([
    git.run(['diff-tree', ...FLAGS, '-z', '--raw', '--numstat', from, to], where),
    git.run(['diff-tree', ...FLAGS, '--patch', from, to], { ...where, maxOutput: MAX_PATCH_BYTES }),
  ]);
  const patch = truncated ? stdout.subarray(0, stdout.lastIndexOf('\n') + 1) : stdout;
  return { files: readSummary(splitZ(summary.stdout).map(String)), patch: patch.toString(), truncated };
}

/**
 * Parses `--raw --numstat -z`. First comes `:MODE MODE SHA SHA STATUS` and PATH of each file (two PATHs of a rename). Then comes
 * `ADDED\tDELETED\tPATH` of each file (an empty PATH and both of a rename). https://git-scm.com/docs/git-diff#_raw_output_format
 */
function readSummary(records: string[]): FileChange[] {
  const files = new Map<string, FileChange>();
  let index = 0;
  const next = () => records[index++] ?? '';
  while (index < records.length) {
    const head = next();
    if (head.startsWith(':')) {
      const letter = head.split(' ')[4]?.charAt(0) ?? '';
      const status = STATUS[letter] ?? 'modified';
      const oldPath = status === 'renamed' ? next() : undefined;
      const path = next();
      const renamed = oldPath === undefined ? {} : { old_path: oldPath };
      files.set(path, { path, ...renamed, status, additions: 0, deletions: 0, binary: false });
      continue;
    }
    const [added = '', deleted = '', path = ''] = splitTabs(head);
    if (path === '') next();
    const file = files.get(path === '' ? next() : path);
    if (!file) continue;
    file.binary = added === '-';
    file.additions = Number(added) || 0;
    file.deletions = Number(deleted) || 0;
  }
  return [...files.values()];
}

/** Splits at the first two tabs; a path may contain more. */
function splitTabs(text: string): [string, string, string] {
  const first = text.indexOf('\t');
  const second = text.indexOf('\t', first + 1);
  return [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)];
}
