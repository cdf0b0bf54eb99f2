import type { Git } from '../git/git.ts';

/** What is to be known of a tree before work starts in it. */
export type TreeSurvey = { files: number; clashes: [string, string][]; submodules: string[]; usesLfs: boolean };

const GITLINK = '160000';
/** Attribute files that are looked into: the one at the top is what nearly every repository has. */
const MAX_ATTRIBUTE_FILES = 100;
const MAX_ATTRIBUTE_BYTES = 1024 * 1024;

/** Looks at the tree of a commit; tickets that start from the same one as the last in a mirror share the look. */
export function createTreeSurveys(git: Git): (mirror: string, commit: string) => Promise<TreeSurvey> {
  const newest = new Map<string, { commit: string; survey: Promise<TreeSurvey> }>();

  return (mirror, commit) => {
    const known = newest.get(mirror);
    if (known?.commit === commit) return known.survey;
    const entry = { commit, survey: surveyTree(git, mirror, commit) };
    newest.set(mirror, entry);
    entry.survey.catch(() => newest.get(mirror) === entry && newest.delete(mirror));
    return entry.survey;
  };
}

async function surveyTree(git: Git, gitDir: string, commit: string): Promise<TreeSurvey> {
  const { stdout } = await git.run(['ls-tree', '-r', '-z', '--full-tree', commit], { gitDir });
  const paths: string[] = [];
  const submodules: string[] = [];
  const attributeFiles: string[] = [];
  for (const record of stdout.toString().split('\0')) {
    const tab = record.indexOf('\t');
    if (tab === -1) continue;
    const [mode = '', , object = ''] = record.slice(0, tab).split(' ');
    const path = record.slice(tab + 1);
    paths.push(path);
    if (mode === GITLINK) submodules.push(path);
    if (path === '.gitattributes' || path.endsWith('/.gitattributes')) attributeFiles.push(object);
  }
  return {
    files: paths.length,
    clashes: findClashes(paths),
    submodules,
    usesLfs: await mentionsLfs(git, gitDir, attributeFiles),
  };
}

/** Pairs of paths, or of folders in them, that are one to a file system that ignores case (and the form of Unicode). */
export function findClashes(paths: readonly string[]): [string, string][] {
  const seen = new Map<string, string>();
  const clashes: [string, string][] = [];
  for (const path of paths) {
    for (const part of partsFromTop(path)) {
      const key = part.normalize('NFC').toLowerCase();
      const other = seen.get(key) ?? part;
      seen.set(key, other);
      if (other === part) continue;
      clashes.push([other, part]);
      break;
    }
  }
  return clashes;
}

/** `a/b/c` as `a`, `a/b`, `a/b/c`. */
function* partsFromTop(path: string): Generator<string> {
  for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) yield path.slice(0, end);
  yield path;
}

async function mentionsLfs(git: Git, gitDir: string, attributeFiles: readonly string[]): Promise<boolean> {
  if (attributeFiles.length === 0) return false;
  const input = attributeFiles.slice(0, MAX_ATTRIBUTE_FILES).map((object) => `${object}\n`);
  const { stdout } = await git.run(['cat-file', '--batch', '--buffer'], {
    gitDir,
    input: input.join(''),
    maxOutput: MAX_ATTRIBUTE_BYTES,
  });
  return /\bfilter=lfs\b/.test(stdout.toString('latin1'));
}
