import type { ComponentChildren } from 'preact';
import type { Problem } from '../../schemas/problem.ts';

/** What went wrong and what mends it, in the server's words. */
export function ProblemBox({
  problem,
  children,
}: {
  problem: Pick<Problem, 'title' | 'detail' | 'remedy' | 'errors'>;
  children?: ComponentChildren;
}) {
  return (
    <div class="notice bad" role="alert">
      <strong>{problem.title}</strong>
      <p>{problem.detail}</p>
      {problem.errors !== undefined && problem.errors.length > 0 && (
        <ul>
          {problem.errors.map(({ path, message }) => (
            <li key={`${path} ${message}`}>
              <code>{path}</code> {message}
            </li>
          ))}
        </ul>
      )}
      {problem.remedy !== undefined && <p class="muted">{problem.remedy}</p>}
      {children}
    </div>
  );
}

export function Loading({ label }: { label: string }) {
  return (
    <div class="loading" role="status">
      <span class="spinner" aria-hidden="true" />
      Loading {label}…
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}
