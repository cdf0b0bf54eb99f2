import { v7 as uuidv7 } from 'uuid';
import type { EventDraft } from '../../schemas/event.ts';
import type { Permission } from '../../schemas/permission.ts';
import type { AskPermission, Decision, Question } from '../agents/acp/permission-policy.ts';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import type { Store } from '../store/open-store.ts';
import type { PermissionRow } from '../store/permissions.ts';
import type { RunWriter } from './run-writer.ts';

/** Questions of one run that may be open at once, and those that one attempt of it may ask; more are rejected. */
const MAX_OPEN = 10;
const MAX_ASKED = 200;

export type Permissions = ReturnType<typeof createPermissions>;

type Count = { open: number; asked: number; refused: boolean };
type Settle = (decision: Decision, by: string) => Promise<void>;

/** Asks people what the policy does not settle, and hands their answers to the agents. */
export function createPermissions({ config, store, log }: { config: Config; store: Store; log: EventLog }) {
  const open = new Map<string, Settle>();
  const counts = new WeakMap<RunWriter, Count>();

  return {
    /**
     * Who asks for one attempt of a run. The run is `waiting` while at least one question is open, and its time limit goes
     * on; what counts the silence of an agent wraps the function that is returned, which resolves with the answer.
     * @param signal of the run; its reason says why questions were not answered
     */
    asker(writer: RunWriter, signal: AbortSignal): AskPermission {
      const count = counts.get(writer) ?? { open: 0, asked: 0, refused: false };
      counts.set(writer, count);

      return async (question, ended) => {
        if (count.open >= MAX_OPEN || count.asked >= MAX_ASKED) return refuse(writer, question, count);
        const permission_id = uuidv7();
        const milliseconds = config.PERMISSION_TIMEOUT_SECONDS * 1000;
        const deadline = new Date(Date.now() + milliseconds).toISOString();
        const answer = Promise.withResolvers<Decision | 'canceled'>();

        const settle: Settle = async (decision, by) => {
          clearTimeout(timer);
          ended.removeEventListener('abort', cancel);
          open.delete(permission_id);
          count.open -= 1;
          const { tool_call_id } = question;
          const drafts: EventDraft[] = [
            { type: 'permission.resolved', data: { permission_id, tool_call_id, decision, by } },
          ];
          const goesOn = count.open === 0 && !signal.aborted;
          if (goesOn) drafts.push({ type: 'run.resumed', data: { cause: 'permission resolved' } });
          try {
            await writer.save(goesOn ? { state: 'running' } : {}, drafts);
          } catch (error) {
            // The agent must not do what no log says was allowed; when nothing can be written, its run is over.
            answer.resolve('canceled');
            throw error;
          }
          answer.resolve(ended.aborted ? 'canceled' : decision);
        };
        const settleAlone: Settle = (decision, by) => settle(decision, by).catch(() => {});
        const cancel = () => void settleAlone('reject', endOf(signal));
        const timer = setTimeout(() => void settleAlone('reject', 'deadline'), milliseconds);
        ended.addEventListener('abort', cancel, { once: true });

        count.open += 1;
        count.asked += 1;
        const requested: EventDraft = { type: 'permission.requested', data: { permission_id, ...question, deadline } };
        const waiting: EventDraft = { type: 'run.waiting', data: { permission_id } };
        open.set(permission_id, settle);
        // Failed writes end the run, and that settles the question.
        await writer.save({ state: 'waiting' }, count.open === 1 ? [requested, waiting] : [requested]).catch(() => {});
        return answer.promise;
      };
    },

    /**
     * Answers a question; the answer is durable, and on its way to the agent, when this resolves.
     * @param by id of the key that answers
     * @throws AppError `permission_not_found`, `permission_resolved`; `interrupted` when the server fails meanwhile
     */
    async answer({ runId, permissionId, decision, by }: AnswerRequest): Promise<Permission> {
      const row = await store.permissions.get(permissionId);
      if (row === undefined || row.run_id !== runId) {
        throw new AppError('permission_not_found', `Run ${runId} asked for no permission ${permissionId}.`);
      }
      const settle = row.decision === null ? open.get(permissionId) : undefined;
      if (settle === undefined) throw resolvedAlready(row);
      try {
        await settle(decision, by);
      } catch (cause) {
        throw new AppError('interrupted', 'The run ended before the answer was recorded.', { cause });
      }
      return toPermission((await store.permissions.get(permissionId)) ?? row);
    },

    /** Open questions of all tickets, oldest first. */
    async list(query: { cursor?: string; limit: number; repositories?: readonly string[] | undefined }) {
      const { items, nextCursor } = await store.permissions.listOpen(query);
      return { items: items.map(toPermission), next_cursor: nextCursor };
    },

    /** After a start: what is open was asked by agents that are gone, and is said to be over. */
    async recover(): Promise<void> {
      for (const { permission_id, run_id, attempt, question } of await store.permissions.open()) {
        const { tool_call_id }: Question = JSON.parse(question);
        const data = { permission_id, tool_call_id, decision: 'reject', by: 'interrupted' } as const;
        await log.append(run_id, attempt, [{ type: 'permission.resolved', data }]);
      }
    },
  };
}

type AnswerRequest = { runId: string; permissionId: string; decision: Decision; by: string };

function refuse(writer: RunWriter, { tool_call_id }: Question, count: Count): Decision {
  const data = { permission_id: uuidv7(), tool_call_id, decision: 'reject', by: 'policy' } as const;
  writer.emit({ type: 'permission.resolved', data });
  if (!count.refused) {
    const text = `Permission requests are rejected: more than ${MAX_OPEN} at once, or more than ${MAX_ASKED} in all.`;
    writer.emit({ type: 'log', data: { level: 'warn', text } });
  }
  count.refused = true;
  return data.decision;
}

function endOf({ reason }: AbortSignal): string {
  return reason instanceof AppError && reason.code === 'interrupted' ? 'interrupted' : 'canceled';
}

function resolvedAlready({ permission_id, decision, decided_by }: PermissionRow): AppError {
  const how = decision === null ? 'being resolved' : `resolved: ${decision}, by ${decided_by}`;
  return new AppError('permission_resolved', `Permission ${permission_id} is ${how}.`);
}

function toPermission(row: PermissionRow): Permission {
  const { permission_id, run_id, ticket_id, action, asked_at } = row;
  const { options, ...question } = JSON.parse(row.question);
  return {
    ...{ permission_id, run_id, ticket_id, action, asked_at, ...question },
    ...(row.decision === null ? {} : { decision: row.decision }),
    ...(row.decided_by === null ? {} : { by: row.decided_by }),
    ...(row.resolved_at === null ? {} : { resolved_at: row.resolved_at }),
  };
}
