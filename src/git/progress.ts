/** The progress of a git command. `stage` is git's name of the step, such as `receiving objects`. */
export type GitProgress = { stage: string; percent: number };

/** The remote controls a part of the output, so only git's own names are reported. */
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
const MIN_STEP_PERCENT = 5;

/**
 * Parses `--progress` in the chunks of stderr.
 * @returns a function that accepts the next chunk. It reports the start of a stage, each further five percent, and the end
 */
export function createProgressReader(onProgress: (progress: GitProgress) => void): (chunk: string) => void {
  let rest = '';
  let last: GitProgress | undefined;

  function readLine(line: string): void {
    const [, name = '', digits = ''] = LINE.exec(line) ?? [];
    const progress = { stage: name.toLowerCase(), percent: Number(digits) };
    if (!STAGES.has(progress.stage) || progress.percent > 100) return;
    const sameStage = last?.stage === progress.stage;
    const advance = progress.percent - (sameStage ? (last?.percent ?? 0) : -MIN_STEP_PERCENT);
    if (advance >= MIN_STEP_PERCENT || (advance > 0 && progress.percent === 100)) {
      last = progress;
      onProgress(progress);
    }
  }

  return (chunk) => {
    const lines = (rest + chunk).split(/[\r\n]/);
    // The incomplete line; lines of git are short.
    rest = (lines.pop() ?? '').slice(-200);
    for (const line of lines) readLine(line);
  };
}
