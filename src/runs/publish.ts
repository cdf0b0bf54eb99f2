import type { EventDraft } from '../../schemas/event.ts';
import type { Plan } from '../../schemas/plan.ts';
import type { RunResult } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';
import { parseRepoUrl } from '../git/repo-url.ts';
import { type PullRequestFacts, pullRequestText } from '../github/pull-request-text.ts';
import { planGoal } from '../plans/plan-text.ts';
import type { RunRow } from '../store/schema.ts';
import type { CommitText } from '../workspaces/commit/commit-message.ts';
import { listPaths } from '../workspaces/worktree/format-paths.ts';
import type { ActionDeps, RunContext } from './run-context.ts';
import type { Progress } from './run-writer.ts';

/**
 * Commits the agent's changes, pushes the branch and opens or updates the pull request. Skips the steps that an earlier
 * attempt finished. The state of the workspace decides, not the agent's answer.
 * @throws AppError `no_changes` or `protected_paths` when there is nothing to publish, `secret_in_diff`, or an error of git or
 * GitHub
 */
export async function publish(deps: ActionDeps, context: RunContext, plan: Plan): Promise<RunResult> {
  const commit = await commitWork(deps, context, plan);
  const { run, writer, signal } = context;
  const { progress } = writer;

  if (progress.push === undefined) {
    await writer.step('push', async () => {
      const pushed = await deps.workspaces.push(run.ticket_id, { signal });
      progress.push = pushed;
      await writer.save({ progress: JSON.stringify(progress) }, [{ type: 'branch.pushed', data: pushed }]);
    });
  }

  const pull = progress.pull ?? (await ensurePullRequest(deps, context, plan));
  await deps.store.tickets.update(run.ticket_id, { pull_request_number: pull.number, pull_request_url: pull.url });
  return {
    plan_version: plan.version,
    commits: [commit.sha],
    files_changed: commit.filesChanged,
    pull_request: pull,
  };
}

async function ensurePullRequest(deps: ActionDeps, { run, ticket, writer, signal }: RunContext, plan: Plan) {
  const { progress } = writer;
  return writer.step('pull_request', async () => {
    const commits = await deps.workspaces.commits(run.ticket_id);
    const hiding = await deps.workspaces.hidingAttributes(run.ticket_id);
    if (hiding.length > 0) {
      const text = `New lines of git attributes may hide changes from review: ${listPaths(hiding, 20)}.`;
      writer.emit({ type: 'log', data: { level: 'warn', text } });
    }
    const facts: PullRequestFacts = {
      ticketId: run.ticket_id,
      subject: ticket.title ?? planGoal(plan.body),
      plan: { version: plan.version, body: plan.body },
      summary: progress.agent?.text,
      commits,
      heldBack: progress.heldBack,
      hiding,
      cutShort: progress.cutShort?.setting,
      check: deps.config.VERIFY_COMMAND,
    };
    const text = pullRequestText(facts, deps.redactor.text);
    const pull = await deps.github.ensurePullRequest({
      repo: parseRepoUrl(ticket.repo_url, deps.config.ALLOWED_REPO_HOSTS),
      ticketId: run.ticket_id,
      head: ticket.branch,
      base: ticket.base_branch,
      title: text.title,
      body: text.body,
      signal,
    });
    const { number, url, created } = pull;
    progress.pull = { number, url, created };
    const type = created ? 'pull_request.opened' : 'pull_request.updated';
    await writer.save({ progress: JSON.stringify(progress) }, [{ type, data: { number, url } }]);
    return progress.pull;
  });
}

async function commitWork(deps: ActionDeps, { run, ticket, writer, signal }: RunContext, plan: Plan) {
  const { progress } = writer;
  if (progress.commit !== undefined) return progress.commit;
  return writer.step('commit', async () => {
    const goal = ticket.title ?? planGoal(plan.body) ?? 'carry out the plan';
    const text: CommitText = {
      subject: `${run.ticket_id}: ${goal}`,
      body: progress.agent?.text ?? '',
      trailers: [
        ['Ticket', run.ticket_id],
        ['Plan-Version', String(plan.version)],
        ['Run-Id', run.run_id],
      ],
    };
    const { commit, heldBack, notes } = await deps.workspaces.commit(run.ticket_id, text, { signal });
    if (heldBack.length > 0) {
      notes.push(`Held back by PROTECTED_PATHS: ${listPaths(heldBack, 20)}. The changes stay in the workspace.`);
      progress.heldBack = heldBack;
    }
    for (const note of notes) writer.emit({ type: 'log', data: { level: 'warn', text: note } });
    const own = commit ?? (await findUnrecorded(deps, run, signal));
    const made = own ?? (await findUnpublished(deps, run.ticket_id, signal));
    if (made === undefined) throw nothingToPublish(heldBack);
    progress.commit = made;
    if (own !== undefined) {
      const created: EventDraft = { type: 'commit.created', data: { sha: own.sha, subject: own.subject } };
      await writer.save({ progress: JSON.stringify(progress) }, [created]);
    }
    return made;
  });
}

function nothingToPublish(heldBack: readonly string[]): AppError {
  if (heldBack.length === 0) return new AppError('no_changes', 'The agent finished its turn without changing a file.');
  return new AppError('protected_paths', `The agent changed protected files only: ${listPaths(heldBack, 20)}.`);
}

function commitOf(run: RunRow): string | undefined {
  const progress: Progress = JSON.parse(run.progress);
  return progress.commit?.sha;
}

/** Returns the commit of an earlier attempt that was interrupted before it recorded the commit. */
async function findUnrecorded(deps: ActionDeps, { ticket_id, run_id }: RunRow, signal: AbortSignal) {
  const commits = await deps.workspaces.commits(ticket_id);
  const made = commits.findLast((commit) => commit.runId === run_id);
  if (made === undefined) return undefined;
  const { files, omitted_files } = await deps.workspaces.diff(ticket_id, { signal });
  return { sha: made.sha, subject: made.subject, filesChanged: files.length + omitted_files };
}

/** Returns the last commit of the branch if an earlier run failed to publish it. */
async function findUnpublished(deps: ActionDeps, ticketId: string, signal: AbortSignal) {
  const [status, commits, run] = await Promise.all([
    deps.workspaces.status(ticketId, { signal }),
    deps.workspaces.commits(ticketId),
    deps.store.runs.lastCommitted(ticketId),
  ]);
  const last = commits.at(-1);
  if (last === undefined) return undefined;
  // Its commit may be gone: other people push to the branch too.
  const unfinished = run !== undefined && run.state !== 'succeeded' && commits.some(({ sha }) => sha === commitOf(run));
  if (!status.unpushed && !unfinished) return undefined;
  const { files, omitted_files } = await deps.workspaces.diff(ticketId, { signal });
  return { sha: last.sha, subject: last.subject, filesChanged: files.length + omitted_files };
}
