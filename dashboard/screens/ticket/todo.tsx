import type { RunLog } from '../../lib/run-log.ts';

const MARKS: Record<string, [mark: string, name: string]> = {
  completed: ['✓', 'Done'],
  in_progress: ['◐', 'In progress'],
  pending: ['○', 'To do'],
};

export function Todo({ entries }: { entries: RunLog['todo'] }) {
  return (
    <ol class="todo">
      {entries.map(({ content, status }) => {
        const [mark, name] = MARKS[status] ?? ['○', status];
        return (
          <li key={content} class={status}>
            <span aria-hidden="true">{mark}</span>
            <span class="hidden">{name}: </span>
            <span>{content}</span>
          </li>
        );
      })}
    </ol>
  );
}
