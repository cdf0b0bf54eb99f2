import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { FileChange, Ticket } from '../../../schemas/ticket.ts';
import { DiffLines } from '../../components/diff-view.tsx';
import { Empty, Loading, ProblemBox } from '../../components/feedback.tsx';
import { type Line, readPatch } from '../../lib/diff.ts';
import { plural } from '../../lib/format.ts';
import * as queries from '../../lib/queries.ts';
import { useResource } from '../../lib/resource.ts';

/** Files with more changed lines are collapsed at first, as are generated ones. */
const MAX_EXPANDED_LINES = 400;

const GENERATED =
  /(?:^|\/)(?:package-lock\.json|yarn\.lock|pnpm-lock\.yaml|Cargo\.lock|poetry\.lock|go\.sum|composer\.lock|Gemfile\.lock)$|\.(?:min\.(?:js|css)|snap|map)$/;

/** Shows the changes of the ticket branch since its base. */
export function Changes({ ticket }: { ticket: Ticket }) {
  const { data: diff, problem, loading, reload } = useResource(queries.diff(ticket.ticket_id));
  const patches = useMemo(() => readPatch(diff?.patch ?? ''), [diff?.patch]);
  if (diff === undefined) {
    return problem !== undefined && !loading ? <ProblemBox problem={problem} /> : <Loading label="the changes" />;
  }
  if (diff.files.length === 0) {
    return (
      <Empty title="No changes yet">
        <p>The branch matches its base. Run dev to change it.</p>
      </Empty>
    );
  }
  const added = diff.files.reduce((sum, { additions }) => sum + additions, 0);
  const removed = diff.files.reduce((sum, { deletions }) => sum + deletions, 0);
  return (
    <section class="changes" aria-label="Changes">
      <div class="toolbar">
        <span>
          {plural(diff.files.length, 'file')} changed{' '}
          <span class="counts num">
            <span class="plus">+{added}</span> <span class="minus">−{removed}</span>
          </span>
        </span>
        <span class="mono muted">
          {diff.base.slice(0, 10)}…{diff.head.slice(0, 10)}
        </span>
        <button type="button" class="small" disabled={loading} onClick={reload}>
          Refresh
        </button>
      </div>
      {diff.truncated && <div class="notice ask">Only the first 5 MB of the changes are shown.</div>}
      {diff.files.length > 1 && (
        <nav class="file-list mono" aria-label="Changed files">
          {diff.files.map(({ path }) => (
            <a key={path} href={`#${anchorOf(path)}`}>
              {path}
            </a>
          ))}
        </nav>
      )}
      {diff.files.map((file, index) => (
        <File key={file.path} file={file} lines={patches[index]} />
      ))}
    </section>
  );
}

/** Returns the id of a file in the page, for links. */
function anchorOf(path: string): string {
  return `file-${encodeURIComponent(path)}`;
}

function File({ file, lines }: { file: FileChange; lines: Line[] | undefined }) {
  const collapsed = file.additions + file.deletions > MAX_EXPANDED_LINES || GENERATED.test(file.path);
  const { path, old_path, status, additions, deletions, binary } = file;
  const [open, setOpen] = useState(!collapsed);
  const details = useRef<HTMLDetailsElement>(null);
  // A link to the file expands it and scrolls to it.
  useEffect(() => {
    const show = () => {
      if (location.hash !== `#${anchorOf(path)}`) return;
      setOpen(true);
      details.current?.scrollIntoView();
    };
    show();
    window.addEventListener('hashchange', show);
    return () => window.removeEventListener('hashchange', show);
  }, [path]);
  return (
    <details class="file" ref={details} open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary class="file-head">
        <span class={`file-status ${status}`}>{status.replace('_', ' ')}</span>
        <span class="mono path">{old_path === undefined ? path : `${old_path} → ${path}`}</span>
        <span class="counts num">
          <span class="plus">+{additions}</span> <span class="minus">−{deletions}</span>
        </span>
      </summary>
      {open && binary && <p class="muted inset">Binary file</p>}
      {open && !binary && lines !== undefined && lines.length > 0 && <DiffLines lines={lines} label={path} />}
      {open && !binary && (lines === undefined || lines.length === 0) && <p class="muted inset">No changed lines</p>}
    </details>
  );
}
