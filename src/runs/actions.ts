import type { Plan } from '../../schemas/plan.ts';
import type { Action, RunResult } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';
import type { ErrorCode } from '../errors/error-codes.ts';
import { parseRepoUrl } from '../git/repo-url.ts';
import { extractPlan } from '../plans/plan-text.ts';
import { TREE_REFUSALS } from '../workspaces/scan/tree-limits.ts';
import { takeTurn } from './agent-turn.ts';
import { leftoverReason, withCheckpoint } from './checkpoints.ts';
import { commandPrompt, PLAN_RETRY_PROMPT } from './prompts.ts';
import { publish } from './publish.ts';
import type { ActionDeps, RunContext } from './run-context.ts';
import { verify } from './verify.ts';

/** Errors of a sync that leave the workspace as it was: the run continues without the newest base branch. */
const SYNC_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'merge_conflict',
  ...TREE_REFUSALS,
  'base_branch_not_found',
  'repo_empty',
  'repo_not_found',
  'clone_failed',
  'network_unreachable',
  'timed_out',
  'github_auth',
  'github_forbidden',
  'github_rate_limited',
  'github_failed',
]);

/** Each action executes a claimed run and returns its result, or throws an AppError. */
export const actions: Record<Action, (deps: ActionDeps, context: RunContext) => Promise<RunResult>> = {
  chat,
  make_plan: makePlan,
  dev,
};

async function chat(deps: ActionDeps, context: RunContext): Promise<RunResult> {
  const { progress } = context.writer;
  if (progress.agent !== undefined) return { text: progress.agent.text, ...cutShort(context) };
  await prepareWorkspace(deps, context);
  const segments = await promptAgent(deps, context, 'read', undefined);
  return { text: segments.join('\n\n'), ...cutShort(context) };
}

async function makePlan(deps: ActionDeps, context: RunContext): Promise<RunResult> {
  const { run } = context;
  if (run.plan_version !== null) return { plan_version: run.plan_version, ...cutShort(context) };
  await prepareWorkspace(deps, context);
  const plan = await writePlan(deps, context);
  return { plan_version: plan.version, ...cutShort(context) };
}

async function dev(deps: ActionDeps, context: RunContext): Promise<RunResult> {
  const { writer } = context;
  await prepareWorkspace(deps, context);
  const plan = await pinPlan(deps, context);
  if (writer.progress.commit === undefined) {
    await withCheckpoint(deps, context, async () => {
      if (writer.progress.agent === undefined) {
        const leftover = await leftoverReason(deps, context);
        await promptAgent(deps, context, 'write', plan, leftover);
      }
      await verify(deps, context);
    });
  }
  return { ...(await publish(deps, context, plan)), ...cutShort(context) };
}

/** Names the limit that made the agent finish early, if any. */
function cutShort({ writer }: RunContext): Pick<RunResult, 'cut_short'> {
  const limit = writer.progress.cutShort;
  return limit === undefined ? {} : { cut_short: limit.setting };
}

/** Syncs the workspace, or creates it again if it is lost. Logs the errors that only prevent a merge of the base branch. */
async function prepareWorkspace(deps: ActionDeps, { run, ticket, writer, signal }: RunContext): Promise<void> {
  const onProgress = ({ stage, percent }: { stage: string; percent: number }) =>
    writer.emit({ type: 'log', data: { level: 'info', text: `${stage}: ${percent}%` } });
  await writer.step('workspace', async () => {
    try {
      // A commit needs the newest base branch. A chat answers sooner without a fetch.
      const [fresh, staleOk] = [run.action === 'dev', run.action === 'chat'];
      const { notes } = await deps.workspaces.sync(run.ticket_id, { signal, onProgress, fresh, staleOk });
      for (const note of notes) writer.emit({ type: 'log', data: { level: 'info', text: note } });
    } catch (error) {
      if (signal.aborted || !(error instanceof AppError)) throw error;
      if (error.code === 'ticket_not_found') {
        const repo = parseRepoUrl(ticket.repo_url, deps.config.ALLOWED_REPO_HOSTS);
        const request = { ticketId: run.ticket_id, repo, baseBranch: ticket.base_branch };
        await deps.workspaces.create(request, { signal, onProgress });
        return;
      }
      if (!SYNC_ERRORS.has(error.code)) throw error;
      // A parked ticket may have no files yet.
      if ((await deps.workspaces.state(run.ticket_id)) !== 'present') throw error;
      writer.emit({
        type: 'log',
        data: { level: 'warn', text: `The base branch was not merged: ${error.message}` },
      });
    }
  });
}

async function promptAgent(
  deps: ActionDeps,
  { run, ticket, writer, signal }: RunContext,
  mode: 'read' | 'write',
  plan: Pick<Plan, 'version' | 'body'> | undefined,
  leftover?: string | undefined,
): Promise<string[]> {
  return writer.step('agent', async () => {
    const segments = await takeTurn(deps, {
      run,
      mode,
      prompt: (conversation) =>
        commandPrompt({
          action: mode === 'write' ? 'dev' : run.action === 'chat' ? 'chat' : 'make_plan',
          ticket,
          message: run.message,
          isRetry: run.attempt > 1,
          plan,
          conversation,
          leftover,
        }),
      writer,
      signal,
    });
    // The plan that a dev run makes first does not finish its own agent step.
    if (mode === 'write' || run.action !== 'dev') writer.progress.agent = { text: segments.join('\n\n') };
    return segments;
  });
}

async function writePlan(deps: ActionDeps, context: RunContext): Promise<Plan> {
  const { run, writer, signal } = context;
  const saved = await deps.plans.ofRun(run.ticket_id, run.run_id);
  if (saved !== undefined) return recordPlan(context, saved);
  const newest = await deps.store.plans.get(run.ticket_id);
  const { agent } = writer.progress;
  let body = extractPlan(agent === undefined ? await promptAgent(deps, context, 'read', newest) : [agent.text]);
  if (body === undefined) {
    body = extractPlan(await takeTurn(deps, { run, mode: 'read', prompt: () => PLAN_RETRY_PROMPT, writer, signal }));
  }
  if (body === undefined) throw new AppError('plan_empty', 'The agent finished its turn without a plan.');
  return recordPlan(context, await deps.plans.save(run.ticket_id, body, run.run_id));
}

async function recordPlan({ writer }: RunContext, plan: Plan): Promise<Plan> {
  const { version } = plan;
  await writer.save({ plan_version: version }, [{ type: 'plan.saved', data: { version } }]);
  return plan;
}

/** Returns the plan of an earlier attempt, else the newest plan that `dev` may carry out, else a new plan. */
async function pinPlan(deps: ActionDeps, context: RunContext): Promise<Plan> {
  const { run, writer } = context;
  if (run.plan_version !== null) return deps.plans.get(run.ticket_id, run.plan_version);
  const saved = await deps.plans.ofRun(run.ticket_id, run.run_id);
  if (saved !== undefined) return recordPlan(context, saved);
  const plan = await deps.plans.forDev(run.ticket_id, deps.config.REQUIRE_PLAN_APPROVAL);
  if (plan === undefined) return writePlan(deps, context);
  await writer.save({ plan_version: plan.version });
  return plan;
}
