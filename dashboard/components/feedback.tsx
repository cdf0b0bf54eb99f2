import type { ComponentChildren } from 'preact';
import type { Problem } from '../../schemas/problem.ts';
import { remedyOf } from '../lib/problem.ts';

/** Shows an error and its remedy. */
export function ProblemBox({
  problem,
  children,
}: {
  problem: Pick<Problem, 'code' | 'title' | 'detail' | 'remedy' | 'errors'>;
  children?: ComponentChildren;
}) {
  const remedy = remedyOf(problem);
  return (
    <div class="notice bad" role="alert">
      <strong>{problem.title}</strong>
      <p>{problem.detail}</p>
      {problem.errors !== undefined && problem.errors.length > 0 && (
        <ul>
          {problem.errors.map(({ path, message }) => (
            <li key={`${path} ${message}`}>
              <code>{path.slice(1)}</code> {message}
            </li>
          ))}
        </ul>
      )}
      {remedy !== undefined && <p class="muted">{remedy}</p>}
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
