import { AppError } from '../../errors/app-error.ts';
import type { Git } from '../../git/git.ts';
import { readBlobs } from '../../git/read-blobs.ts';
import { abbreviate } from '../worktree/format-paths.ts';
import { createClashFinder } from './path-clashes.ts';
import { readTreeEntries } from './tree-entries.ts';
import { findProblem, nameOf, spaceOf, type TreeEntry, type TreeLimits } from './tree-limits.ts';

/** Facts about a tree. */
export type TreeScan = {
  files: number;
  /** Files, links, folders and submodules together. */
  entries: number;
  /** Disk space of all entries, in bytes. */
  bytes: number;
  /** The first submodules, and the number of all. */
  submodules: { paths: string[]; count: number };
  usesLfs: boolean;
};

export type TreeScans = {
  /**
   * Scans the tree of a commit before it is checked out.
   * @throws AppError `path_unsupported`, `path_clash`, `workspace_too_large`
   */
  check(gitDir: string, commit: string): Promise<TreeScan>;
  /**
   * Scans a tree that git only compares with others, which takes memory for each entry.
   * @throws AppError `path_unsupported`, `workspace_too_large` when the scan stopped before the end of the tree
   */
  checkSize(gitDir: string, commit: string): Promise<void>;
};

/** `isComplete`: whether the scan reached the end of the tree. */
type Outcome = { scan: TreeScan; refusal: AppError | undefined; isComplete: boolean };

const MAX_CACHED_SCANS = 100;
const MAX_NAMED_PATHS = 5;
const MAX_SUBMODULE_PATHS = 10;
/** A NUL in the target of a link above this limit only makes the link look changed. */
const MAX_READ_LINKS = 100_000;
const MAX_READ_ATTRIBUTES_BYTES = 1024 * 1024;

/** Creates a scanner that caches by commit, so tickets that start from a commit or merge it share a scan. */
export function createTreeScans(git: Git, limits: () => Promise<TreeLimits>): TreeScans {
  const outcomes = new Map<string, Promise<Outcome>>();

  function outcomeOf(gitDir: string, commit: string): Promise<Outcome> {
    const known = outcomes.get(commit);
    if (known) return known;
    const outcome = limits().then((found) => scanTree(git, gitDir, commit, found));
    outcomes.set(commit, outcome);
    outcome.catch(() => outcomes.get(commit) === outcome && outcomes.delete(commit));
    const [oldest] = outcomes.keys();
    if (outcomes.size > MAX_CACHED_SCANS && oldest !== undefined) outcomes.delete(oldest);
    return outcome;
  }

  return {
    async check(gitDir, commit) {
      const { scan, refusal } = await outcomeOf(gitDir, commit);
      if (refusal) throw refusal;
      return scan;
    },

    async checkSize(gitDir, commit) {
      const { refusal, isComplete } = await outcomeOf(gitDir, commit);
      if (refusal && !isComplete) throw refusal;
    },
  };
}

/**
 * Streams a tree, and stops when it is too large: a few hundred bytes of nested trees can stand for more files than any disk
 * can hold.
 */
async function scanTree(git: Git, gitDir: string, commit: string, limits: TreeLimits): Promise<Outcome> {
  const maxBytes = limits.maxMib * 1024 ** 2;
  const scan: TreeScan = { files: 0, entries: 0, bytes: 0, submodules: { paths: [], count: 0 }, usesLfs: false };
  const contents = createContents();
  const problems = createProblems(limits);
  let tooLarge: AppError | undefined;
  let isComplete = true;

  const failure = await readTreeEntries(git, gitDir, commit, (entry) => {
    count(scan, entry);
    contents.add(entry);
    problems.find(entry);
    // Also stops at a path that is too long: the paths of nested folders add up to the square of the depth.
    if (scan.bytes > maxBytes) tooLarge = tooLargeAt(entry.path, scan.entries, limits.maxMib);
    isComplete = tooLarge === undefined && entry.path.length <= limits.maxPathBytes;
    return isComplete;
  }).catch((error: unknown) => ({ error }));
  if (isComplete && failure) throw failure.error;
  if (tooLarge) return { scan, refusal: tooLarge, isComplete };
  if (isComplete) {
    const { brokenLinks, usesLfs } = await contents.read(git, gitDir);
    for (const path of brokenLinks) problems.note(`${path} is a link with a NUL in its target`);
    scan.usesLfs = usesLfs;
  }
  return { scan, refusal: problems.refusal(), isComplete };
}

function count(scan: TreeScan, entry: TreeEntry): void {
  const { submodules } = scan;
  scan.entries += 1;
  scan.bytes += spaceOf(entry);
  if (entry.kind !== 'folder') scan.files += 1;
  if (entry.kind !== 'submodule') return;
  submodules.count += 1;
  if (submodules.count <= MAX_SUBMODULE_PATHS) submodules.paths.push(abbreviate(entry.path));
}

/** Collects the first problems of a tree for an error. */
function createProblems(limits: TreeLimits) {
  const unsupported: string[] = [];
  const clashes: string[] = [];
  const findClash = limits.ignoresCase ? createClashFinder() : () => undefined;

  function note(problem: string): void {
    if (unsupported.length < MAX_NAMED_PATHS) unsupported.push(problem);
  }

  return {
    note,

    find(entry: TreeEntry): void {
      const problem = findProblem(entry, limits);
      if (problem !== undefined) note(`${abbreviate(entry.path)} ${problem}`);
      const clash = findClash(entry.path.toString());
      if (clash === undefined || clashes.length >= MAX_NAMED_PATHS) return;
      clashes.push(`${abbreviate(clash)} and ${abbreviate(entry.path)}`);
    },

    refusal(): AppError | undefined {
      if (unsupported.length > 0) {
        return new AppError('path_unsupported', `This cannot be checked out here: ${unsupported.join('; ')}.`);
      }
      if (clashes.length === 0) return undefined;
      const detail = `These differ by case only, which this disk ignores: ${clashes.join(', ')}.`;
      return new AppError('path_clash', detail);
    },
  };
}

/** Collects the blobs that a scan needs, and reads them at once. */
function createContents() {
  const links = new Map<string, string>();
  const attributes = new Set<string>();
  let attributesBytes = 0;

  return {
    add({ kind, object, size, path }: TreeEntry): void {
      if (kind === 'link' && size > 0 && links.size < MAX_READ_LINKS) links.set(object, abbreviate(path));
      if (kind !== 'file' || size === 0 || attributesBytes + size > MAX_READ_ATTRIBUTES_BYTES) return;
      if (nameOf(path).toString('latin1') !== '.gitattributes') return;
      attributesBytes += size;
      attributes.add(object);
    },

    async read(git: Git, gitDir: string): Promise<{ brokenLinks: Iterable<string>; usesLfs: boolean }> {
      const brokenLinks = new Set<string>();
      let text = '';
      await readBlobs(git, gitDir, [...new Set([...links.keys(), ...attributes])], (blob, piece) => {
        const link = links.get(blob);
        if (link !== undefined && piece.includes(0)) brokenLinks.add(link);
        if (attributes.has(blob)) text += piece.toString('latin1');
      });
      return { brokenLinks, usesLfs: /\bfilter=lfs\b/.test(text) };
    },
  };
}

function tooLargeAt(path: Buffer, entries: number, maxMib: number): AppError {
  const where = `exceeded at ${abbreviate(path)}, after ${entries} files and folders of 4 KiB or more`;
  return new AppError('workspace_too_large', `The files take more than the ${maxMib} MiB of a workspace, ${where}.`, {
    remedy: 'Raise MAX_WORKSPACE_MB, or remove files from the branch in the repository.',
  });
}
