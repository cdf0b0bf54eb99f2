import { useMemo, useState } from 'preact/hooks';
import { DiffLines } from '../../components/diff-view.tsx';
import { PlainText } from '../../components/plain-text.tsx';
import { Elapsed } from '../../components/time.tsx';
import { compareTexts } from '../../lib/diff.ts';
import type { ToolItem } from '../../lib/run-log.ts';

const STATUS: Record<string, [mark: string, name: string]> = {
  completed: ['✓', 'done'],
  failed: ['✕', 'failed'],
};

/** Shows a tool call. Its diff and output expand below it. */
export function ToolRow({ item }: { item: ToolItem }) {
  const { call, startedAt, endedAt } = item;
  const [open, setOpen] = useState(false);
  const [mark, status] = STATUS[call.status ?? ''] ?? ['', endedAt === undefined ? 'running' : ''];
  const changed = useMemo(
    () =>
      (call.diff ?? []).map((file) => ({ path: file.path, lines: compareTexts(file.old_text ?? '', file.new_text) })),
    [call.diff],
  );
  return (
    <details class={`tool ${call.status ?? ''}`} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <span class="mark" aria-hidden="true">
          {mark === '' ? <span class="spinner" /> : mark}
        </span>
        <span class="tool-kind">{call.kind ?? 'other'}</span>
        <span class="tool-title">{call.title ?? ''}</span>
        <span class="hidden">, {status}</span>
        {changed.length > 0 && <LineCounts lines={changed.flatMap(({ lines }) => lines)} />}
        <span class="muted">
          <Elapsed from={startedAt} to={endedAt} />
        </span>
      </summary>
      {open && (
        <div class="tool-body">
          {changed.map(({ path, lines }) => (
            <div key={path} class="file">
              <div class="file-head mono">{path}</div>
              <DiffLines lines={lines} label={path} />
            </div>
          ))}
          {changed.length === 0 && call.locations !== undefined && call.locations.length > 0 && (
            <p class="mono muted">
              {call.locations.map(({ path, line }) => (line === undefined ? path : `${path}:${line}`)).join(', ')}
            </p>
          )}
          {call.output !== undefined && call.output !== '' && <PlainText text={call.output} />}
          {changed.length === 0 && !call.output && !call.locations?.length && <p class="muted">No output</p>}
        </div>
      )}
    </details>
  );
}

export function LineCounts({ lines }: { lines: readonly { kind: string }[] }) {
  const added = lines.filter(({ kind }) => kind === 'add').length;
  const removed = lines.filter(({ kind }) => kind === 'del').length;
  return (
    <span class="counts num">
      <span class="plus">+{added}</span> <span class="minus">−{removed}</span>
    </span>
  );
}
