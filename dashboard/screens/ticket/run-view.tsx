import { memo } from 'preact/compat';
import { useRef, useState } from 'preact/hooks';
import { unwrap } from '../../../client/client.ts';
import type { Run } from '../../../schemas/run.ts';
import { ProblemBox } from '../../components/feedback.tsx';
import { Markdown } from '../../components/markdown.tsx';
import { ACTIONS, StateBadge } from '../../components/state.tsx';
import { Ago, Elapsed } from '../../components/time.tsx';
import { api } from '../../lib/api.ts';
import { compact, duration, plural } from '../../lib/format.ts';
import { isFinished } from '../../lib/live-updates.ts';
import { asProblem } from '../../lib/problem.ts';
import { invalidate } from '../../lib/resource.ts';
import type { Item, NoteItem, RunLog } from '../../lib/run-log.ts';
import { SCOPE_OF, useCan } from '../../lib/session.ts';
import { useRunLog } from '../../lib/use-run-log.ts';
import { PermissionRow } from './permission-row.tsx';
import { ToolRow } from './tool-row.tsx';

/** Items that are rendered at first. Each click on the button adds as many. */
const PAGE_SIZE = 800;

/** Shows a run: its message, its log and its outcome. */
export function RunView({ run }: { run: Run }) {
  const waitsInQueue = run.state === 'queued' && (run.queue_position ?? 1) > 1;
  const { log, problem } = useRunLog(run.run_id, waitsInQueue);
  // The log and the list of runs are separate streams: either may be ahead.
  const state = log.terminal === undefined ? run.state : stateOf(log.terminal.type);
  const finished = isFinished({ state });
  return (
    <article class="run" id={`run-${run.run_id}`} aria-label={`${ACTIONS[run.action]}, ${state}`}>
      <header>
        <h2>{ACTIONS[run.action]}</h2>
        <StateBadge state={state} />
        <span class="muted">
          {finished ? (
            <a href={`/dashboard/runs/${run.run_id}`}>
              <Ago time={run.created_at} />
            </a>
          ) : (
            run.started_at !== undefined && <Elapsed from={run.started_at} />
          )}
        </span>
        <Tokens run={run} log={log} />
        {!finished && <Cancel run={run} />}
      </header>
      {run.message !== undefined && run.message !== '' && <div class="prompt">{run.message}</div>}
      {state === 'queued' && <Queued run={run} />}
      <Items run={run} log={log} live={!finished} />
      {!finished && state !== 'queued' && (
        <div class="working muted" role="status">
          <span class="spinner" aria-hidden="true" />
          {state === 'waiting' ? 'Waiting for permission' : (log.step ?? 'The agent is working')}
        </div>
      )}
      <Outcome run={run} log={log} />
      {problem !== undefined && <ProblemBox problem={problem} />}
    </article>
  );
}

function stateOf(type: string): Run['state'] {
  if (type === 'run.succeeded') return 'succeeded';
  if (type === 'run.failed') return 'failed';
  return type === 'run.canceled' ? 'canceled' : 'timed_out';
}

function Tokens({ run, log }: { run: Run; log: RunLog }) {
  const { input_tokens, output_tokens } = log.terminal?.usage ?? log.usage ?? run.usage;
  if (input_tokens + output_tokens === 0) return null;
  return (
    <span class="muted num" title={`${plural(input_tokens, 'token')} in, ${plural(output_tokens, 'token')} out`}>
      {compact(input_tokens + output_tokens)} tokens
    </span>
  );
}

function Queued({ run }: { run: Run }) {
  const { queue_position: position, estimated_wait_s: wait } = run;
  return (
    <p class="muted" role="status">
      {position === undefined || position <= 1 ? 'Next in the queue' : `Position ${position} in the queue`}
      {typeof wait === 'number' && wait > 0 && `, starts in about ${duration(wait * 1000)}`}
    </p>
  );
}

/** Lists the last items of the log. While the log grows, an item disappears only when it is out of sight. */
function Items({ run, log, live }: { run: Run; log: RunLog; live: boolean }) {
  const [shown, setShown] = useState(PAGE_SIZE);
  const list = useRef<HTMLDivElement>(null);
  const hidden = useRef(0);
  const target = Math.max(0, log.items.length - shown);
  if (!live || target < hidden.current || isOutOfSight(list.current, target - hidden.current)) hidden.current = target;
  const items = log.items.slice(hidden.current);
  return (
    <>
      {hidden.current > 0 && (
        <button type="button" class="small" onClick={() => setShown(items.length + PAGE_SIZE)}>
          Show {Math.min(hidden.current, PAGE_SIZE)} of {plural(hidden.current, 'earlier step')}
        </button>
      )}
      <div class="items" ref={list}>
        {items.map((item, index) => (
          <ItemView key={item.key} item={item} run={run} growing={live && index === items.length - 1} />
        ))}
      </div>
    </>
  );
}

/** Checks whether the first rows of a list are above the window, or the end of the list is in it. */
function isOutOfSight(list: HTMLElement | null, rows: number): boolean {
  const next = list?.children.item(rows);
  if (next !== null && next !== undefined && next.getBoundingClientRect().top <= 0) return true;
  return list === null || list.getBoundingClientRect().bottom <= window.innerHeight;
}

type ItemProps = { item: Item; run: Run; growing: boolean };

const ItemView = memo(
  ({ item, run, growing }: ItemProps) => {
    if (item.kind === 'tool') return <ToolRow item={item} />;
    if (item.kind === 'text') return <Markdown text={item.text} streaming={growing} />;
    if (item.kind === 'permission') return <PermissionRow runId={run.run_id} item={item} />;
    if (item.kind === 'thought') return <Thought text={item.text} />;
    return <Note item={item} ticketId={run.ticket_id} />;
  },
  (a, b) => a.item === b.item && a.growing === b.growing,
);

/** Shows an action of the server, with a link to its result. */
function Note({ item: { tone, text, href }, ticketId }: { item: NoteItem; ticketId: string }) {
  const external = href?.startsWith('https://') === true;
  return (
    <p class={`note ${tone}`}>
      {href === undefined && text}
      {href !== undefined && external && (
        <a href={href} target="_blank" rel="noopener noreferrer">
          {text}
        </a>
      )}
      {href !== undefined && !external && <a href={`/dashboard/tickets/${ticketId}/${href}`}>{text}</a>}
    </p>
  );
}

function Thought({ text }: { text: string }) {
  const title = /^\s*\*\*(.+?)\*\*/.exec(text)?.[1] ?? 'Thinking';
  return (
    <details class="thought">
      <summary>{title}</summary>
      <Markdown text={text.replace(/^\s*\*\*.+?\*\*\s*/, '')} />
    </details>
  );
}

function Outcome({ run, log }: { run: Run; log: RunLog }) {
  const error = log.terminal?.error ?? (log.terminal === undefined ? undefined : run.error);
  const pull = log.terminal?.result?.pull_request;
  const version = run.action === 'make_plan' ? log.terminal?.result?.plan_version : undefined;
  const path = `/dashboard/tickets/${run.ticket_id}`;
  return (
    <>
      {error !== undefined && error.code !== 'canceled' && (
        <ProblemBox problem={error}>
          {error.code === 'plan_not_approved' && <a href={`${path}/plan`}>Open the plan</a>}
        </ProblemBox>
      )}
      {version !== undefined && (
        <a class="result" href={`${path}/plan`}>
          View plan {version}
        </a>
      )}
      {pull !== undefined && (
        <div class="actions">
          <a class="result" href={pull.url} target="_blank" rel="noopener noreferrer">
            Pull request #{pull.number}
          </a>
          <a class="result" href={`${path}/changes`}>
            {plural(log.terminal?.result?.files_changed ?? 0, 'file')} changed
          </a>
        </div>
      )}
    </>
  );
}

function Cancel({ run }: { run: Run }) {
  const can = useCan();
  const [asked, setAsked] = useState(false);
  const [failure, setFailure] = useState('');
  if (!can(SCOPE_OF[run.action])) return null;
  async function cancel(): Promise<void> {
    setAsked(true);
    setFailure('');
    try {
      await unwrap(api.POST('/v1/runs/{run_id}/cancel', { params: { path: { run_id: run.run_id } } }));
    } catch (error) {
      const problem = asProblem(error);
      setAsked(false);
      if (problem.code === 'run_finished') invalidate((path) => path.includes('/runs'));
      else setFailure(problem.detail);
    }
  }
  return (
    <>
      <button type="button" class="small" disabled={asked} onClick={() => void cancel()}>
        {asked ? 'Canceling…' : 'Cancel'}
      </button>
      {failure !== '' && <span class="wrong">{failure}</span>}
    </>
  );
}
