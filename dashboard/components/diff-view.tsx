import { useState } from 'preact/hooks';
import type { Line } from '../lib/diff.ts';

/** Lines that are drawn at once; the rest on demand. */
const AT_ONCE = 600;

/** Changed lines. Signs and numbers are drawn by style, so that copying takes the text alone. */
export function DiffLines({ lines, label }: { lines: readonly Line[]; label: string }) {
  const [shown, setShown] = useState(AT_ONCE);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <section class="diff" tabIndex={0} aria-label={`Changes of ${label}`}>
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
        <button type="button" class="small" onClick={() => setShown(shown + 5000)}>
          Show {lines.length - shown} more lines
        </button>
      )}
    </section>
  );
}
