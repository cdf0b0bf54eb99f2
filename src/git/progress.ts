/** How far a long git command is. `stage` is git's own name for what it does, such as `receiving objects`. */
export type GitProgress = { stage: string; percent: number };

/** Part of what git prints comes from the remote: only names that git itself uses are passed on. */
const STAGES = new Set([
  'counting objects',
  'compressing objects',
  'receiving objects',
  'unpacking objects',
  'resolving deltas',
  'updating files',
  'writing objects',
]);

const LINE = /^(?:remote: )?([A-Z][a-z]+ [a-z]+):\s+(\d{1,3})% \(/;
const STEP = 5;

/**
 * Reads `--progress` out of a stream of stderr chunks, cut anywhere.
 * @returns a function to be given each chunk; it reports a stage's begin, each further five per cent, and its end
 */
export function createProgressReader(onProgress: (progress: GitProgress) => void): (chunk: string) => void {
  let rest = '';
  let last: GitProgress | undefined;

  function readLine(line: string): void {
    const [, name = '', digits = ''] = LINE.exec(line) ?? [];
    const progress = { stage: name.toLowerCase(), percent: Number(digits) };
    if (!STAGES.has(progress.stage) || progress.percent > 100) return;
    const sameStage = last?.stage === progress.stage;
    const advance = progress.percent - (sameStage ? (last?.percent ?? 0) : -STEP);
    if (advance >= STEP || (advance > 0 && progress.percent === 100)) {
      last = progress;
      onProgress(progress);
    }
  }

  return (chunk) => {
    const lines = (rest + chunk).split(/[\r\n]/);
    // A line without end is kept for the next chunk; a real one is short.
    rest = (lines.pop() ?? '').slice(-200);
    for (const line of lines) readLine(line);
  };
}
