import { useState } from 'preact/hooks';
import { unwrap } from '../../client/client.ts';
import type { PermissionQuestion } from '../../schemas/event.ts';
import type { Problem } from '../../schemas/problem.ts';
import { api } from '../lib/api.ts';
import { compareTexts } from '../lib/diff.ts';
import { dateTime, duration } from '../lib/format.ts';
import { asProblem } from '../lib/problem.ts';
import { permissions } from '../lib/queries.ts';
import { invalidate } from '../lib/resource.ts';
import { useCan } from '../lib/session.ts';
import { DiffLines } from './diff-view.tsx';
import { ProblemBox } from './feedback.tsx';
import { PlainText } from './plain-text.tsx';
import { useNow } from './time.tsx';

/** Shows the tool call that waits for permission, as described by the agent. */
export function PermissionRequest({ request }: { request: PermissionQuestion }) {
  const { kind, title, command, input, diff } = request;
  return (
    <>
      <p>
        <strong>The agent wants to {kind === 'execute' ? 'run a command' : kind}</strong>
        {command === undefined && `: ${title}`}
      </p>
      {command !== undefined && <PlainText text={command} />}
      {(diff ?? []).map(({ path, old_text = '', new_text }) => (
        <div key={path} class="file">
          <div class="file-head mono">{path}</div>
          <DiffLines lines={compareTexts(old_text, new_text)} label={path} />
        </div>
      ))}
      {command === undefined && diff === undefined && input !== undefined && <PlainText text={input} />}
    </>
  );
}

export function AnswerPermission(props: { runId: string; permissionId: string; deadline: string }) {
  const { runId, permissionId, deadline } = props;
  const can = useCan();
  const now = useNow(1000);
  const [answered, setAnswered] = useState<'allow' | 'reject'>();
  const [problem, setProblem] = useState<Problem>();
  const left = Date.parse(deadline) - now;

  async function answer(decision: 'allow' | 'reject'): Promise<void> {
    setAnswered(decision);
    setProblem(undefined);
    try {
      const path = { run_id: runId, permission_id: permissionId };
      await unwrap(api.POST('/v1/runs/{run_id}/permissions/{permission_id}', { params: { path }, body: { decision } }));
    } catch (error) {
      setProblem(asProblem(error));
      setAnswered(undefined);
    }
    invalidate((key) => key === permissions.key);
  }

  return (
    <>
      <div class="actions">
        {can('dev') && (
          <>
            <button
              type="button"
              class="primary"
              disabled={answered !== undefined}
              onClick={() => void answer('allow')}
            >
              {answered === 'allow' ? 'Allowed' : 'Allow once'}
            </button>
            <button type="button" disabled={answered !== undefined} onClick={() => void answer('reject')}>
              {answered === 'reject' ? 'Rejected' : 'Reject'}
            </button>
          </>
        )}
        <span class="muted" title={dateTime(deadline)}>
          {left > 0 ? `Rejected automatically in ${duration(left)}` : 'Deadline passed'}
        </span>
      </div>
      {problem !== undefined && <ProblemBox problem={problem} />}
    </>
  );
}
