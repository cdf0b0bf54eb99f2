import type { Plan } from '../../schemas/plan.ts';
import type { Action, RunResult } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';
import type { ErrorCode } from '../errors/error-codes.ts';
import { parseRepoUrl } from '../git/repo-url.ts';
import { planText } from '../plans/plan-text.ts';
import { TREE_REFUSALS } from '../workspaces/scan/tree-limits.ts';
import { takeTurn } from './agent-turn.ts';
import { keepingWork, unfinishedReason } from './checkpoints.ts';
import { commandPrompt, PLAN_AGAIN_PROMPT } from './prompts.ts';
import { publish } from './publish.ts';
import type { ActionDeps, RunContext } from './run-context.ts';
import { verify } from './verify.ts';

/** What keeps the base branch out, and leaves the workspace as it was. */
const ONLY_NOT_BROUGHT_IN: ReadonlySet<ErrorCode> = new Set([
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

/** Each action carries out a claimed run and returns its result; it throws an AppError when it cannot. */
export const actions: Record<Action, (deps: ActionDeps, context: RunContext) => Promise<RunResult>> = {
  chat,
  make_plan: makePlan,
  dev,
};

async function chat(deps: ActionDeps, context: RunContext): Promise<RunResult> {
  const { progress } = context.writer;
  if (progress.agent !== undefined) return { text: progress.agent.text, ...cutShort(context) };
  await prepareWorkspace(deps, context);
  const segments = await askAgent(deps, context, 'read', undefined);
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
    await keepingWork(deps, context, async () => {
      if (writer.progress.agent === undefined) {
        const unfinished = await unfinishedReason(deps, context);
        await askAgent(deps, context, 'write', plan, unfinished);
      }
      await verify(deps, context);
    });
  }
  return { ...(await publish(deps, context, plan)), ...cutShort(context) };
}

/** Whether the agent was asked to come to an end before it was done. */
function cutShort({ writer }: RunContext): Pick<RunResult, 'cut_short'> {
  const limit = writer.progress.cutShort;
  return limit === undefined ? {} : { cut_short: limit.setting };
}

/** Brings the workspace up to date, or makes it anew. What only keeps the base branch out is said and does not stop the command. */
async function prepareWorkspace(deps: ActionDeps, { run, ticket, writer, signal }: RunContext): Promise<void> {
  const onProgress = ({ stage, percent }: { stage: string; percent: number }) =>
    writer.emit({ type: 'log', data: { level: 'info', text: `${stage}: ${percent}%` } });
  await writer.step('workspace', async () => {
    try {
      // What is committed is to stand on what is there now; who asks a question waits for the agent only.
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
      if (!ONLY_NOT_BROUGHT_IN.has(error.code)) throw error;
      // Of a parked ticket, the files may not be there yet.
      if ((await deps.workspaces.state(run.ticket_id)) !== 'present') throw error;
      writer.emit({
        type: 'log',
        data: { level: 'warn', text: `The base branch was not brought in: ${error.message}` },
      });
    }
  });
}

async function askAgent(
  deps: ActionDeps,
  { run, ticket, writer, signal }: RunContext,
  mode: 'read' | 'write',
  plan: Pick<Plan, 'version' | 'body'> | undefined,
  unfinished?: string | undefined,
): Promise<string[]> {
  return writer.step('agent', async () => {
    const segments = await takeTurn(deps, {
      run,
      mode,
      prompt: (conversation) =>
        commandPrompt({
          action: mode === 'write' ? 'dev' : run.action === 'chat' ? 'chat' : 'make_plan',
          ticket: {
            ticketId: ticket.ticket_id,
            title: ticket.title,
            description: ticket.description,
            branch: ticket.branch,
            baseBranch: ticket.base_branch,
          },
          message: run.message ?? undefined,
          again: run.attempt > 1,
          plan,
          conversation,
          unfinished,
        }),
      writer,
      signal,
    });
    // A plan that dev makes first is not the end of dev's own agent step.
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
  let body = planText(agent === undefined ? await askAgent(deps, context, 'read', newest) : [agent.text]);
  if (body === undefined) {
    body = planText(await takeTurn(deps, { run, mode: 'read', prompt: () => PLAN_AGAIN_PROMPT, writer, signal }));
  }
  if (body === undefined) throw new AppError('plan_empty', 'The agent ended its turn without a plan.');
  return recordPlan(context, await deps.plans.save(run.ticket_id, body, run.run_id));
}

async function recordPlan({ writer }: RunContext, plan: Plan): Promise<Plan> {
  const { version } = plan;
  await writer.save({ plan_version: version }, [{ type: 'plan.saved', data: { version } }]);
  return plan;
}

/**
 * The plan of this run: the one it was pinned to or wrote in an earlier attempt, the newest that may be carried out, or a
 * new one.
 */
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
