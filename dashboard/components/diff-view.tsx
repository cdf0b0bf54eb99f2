import { useState } from 'preact/hooks';
import type { Line } from '../lib/diff.ts';

/** Lines that are rendered at first. */
const INITIAL_LINES = 600;

/** Lines that each click on the button adds. */
const MORE_LINES = 5000;

/** Shows the lines of a diff. Styles add signs and line numbers, so that a copy has the text alone. */
export function DiffLines({ lines, label }: { lines: readonly Line[]; label: string }) {
  const [shown, setShown] = useState(INITIAL_LINES);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must reach a scrollable area
    <section class="diff" tabIndex={0} aria-label={`Changes to ${label}`}>
      <div class="diff-lines">
        {lines.slice(0, shown).map((line, index) => (
          <div key={index} class={line.kind} data-old={line.old ?? ''} data-new={line.new ?? ''}>
            {line.kind === 'add' && <span class="hidden">Added: </span>}
            {line.kind === 'del' && <span class="hidden">Removed: </span>}
            <span>{line.text === '' ? '\n' : line.text}</span>
          </div>
        ))}
      </div>
      {lines.length > shown && (
        <button type="button" class="small" onClick={() => setShown(shown + MORE_LINES)}>
          Show {lines.length - shown} more lines
        </button>
      )}
    </section>
  );
}
