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

/** Permissions that one attempt may have open at once, and request in all. More are rejected. */
const MAX_OPEN = 10;
const MAX_REQUESTED = 200;

export type Permissions = ReturnType<typeof createPermissions>;

type Count = { open: number; requested: number; refused: boolean };
type Resolve = (decision: Decision, by: string) => Promise<void>;

/** Creates the permissions: tool calls that wait for a person's answer. */
export function createPermissions(deps: {
  config: Pick<Config, 'PERMISSION_TIMEOUT_SECONDS'>;
  store: Store;
  log: EventLog;
}) {
  const { config, store, log } = deps;
  const open = new Map<string, Resolve>();
  const counts = new WeakMap<RunWriter, Count>();

  return {
    /**
     * Returns the function that requests permissions for one attempt and resolves with the answer. The run is `waiting` while
     * a permission is open; its time limit continues.
     * @param signal of the run; its reason is recorded for permissions that no person answered
     */
    asker(writer: RunWriter, signal: AbortSignal): AskPermission {
      const count = counts.get(writer) ?? { open: 0, requested: 0, refused: false };
      counts.set(writer, count);

      return async (question, ended) => {
        if (count.open >= MAX_OPEN || count.requested >= MAX_REQUESTED) return refuse(writer, question, count);
        const permission_id = uuidv7();
        const milliseconds = config.PERMISSION_TIMEOUT_SECONDS * 1000;
        const deadline = new Date(Date.now() + milliseconds).toISOString();
        const answer = Promise.withResolvers<Decision | 'canceled'>();

        const resolve: Resolve = async (decision, by) => {
          clearTimeout(timer);
          ended.removeEventListener('abort', cancel);
          open.delete(permission_id);
          count.open -= 1;
          const { tool_call_id } = question;
          const drafts: EventDraft[] = [
            { type: 'permission.resolved', data: { permission_id, tool_call_id, decision, by } },
          ];
          const resumes = count.open === 0 && !signal.aborted;
          if (resumes) drafts.push({ type: 'run.resumed', data: { cause: 'permission resolved' } });
          try {
            await writer.save(resumes ? { state: 'running' } : {}, drafts);
          } catch (error) {
            // No call without a record of its permission. The failed write aborts the run.
            answer.resolve('canceled');
            throw error;
          }
          answer.resolve(ended.aborted ? 'canceled' : decision);
        };
        const resolveQuietly: Resolve = (decision, by) => resolve(decision, by).catch(() => {});
        const cancel = () => void resolveQuietly('reject', cancelReason(signal));
        const timer = setTimeout(() => void resolveQuietly('reject', 'deadline'), milliseconds);
        ended.addEventListener('abort', cancel, { once: true });

        count.open += 1;
        count.requested += 1;
        const requested: EventDraft = { type: 'permission.requested', data: { permission_id, ...question, deadline } };
        const waiting: EventDraft = { type: 'run.waiting', data: { permission_id } };
        open.set(permission_id, resolve);
        // A failed write aborts the run, which resolves the permission.
        await writer.save({ state: 'waiting' }, count.open === 1 ? [requested, waiting] : [requested]).catch(() => {});
        return answer.promise;
      };
    },

    /**
     * Answers a permission. The answer is durable when this resolves.
     * @param by id of the caller's key
     * @throws AppError `permission_not_found`, `permission_resolved`, `interrupted` when the run stops meanwhile
     */
    async answer({ runId, permissionId, decision, by }: AnswerRequest): Promise<Permission> {
      const row = await store.permissions.get(permissionId);
      if (row === undefined || row.run_id !== runId) {
        throw new AppError('permission_not_found', `Run ${runId} has no permission ${permissionId}.`);
      }
      const resolve = row.decision === null ? open.get(permissionId) : undefined;
      if (resolve === undefined) throw alreadyResolved(row);
      try {
        await resolve(decision, by);
      } catch (cause) {
        throw new AppError('interrupted', 'The run stopped before the answer was recorded.', { cause });
      }
      return toPermission((await store.permissions.get(permissionId)) ?? row);
    },

    /** Returns a page of the open permissions of all tickets, oldest first. */
    async list(query: { cursor?: string; limit: number; repositories?: readonly string[] | undefined }) {
      const { items, nextCursor } = await store.permissions.listOpen(query);
      return { items: items.map(toPermission), next_cursor: nextCursor };
    },

    /** Rejects the permissions that agents of the last server left open. */
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
    const text = `Permission requests are rejected: more than ${MAX_OPEN} open at once, or more than ${MAX_REQUESTED} in all.`;
    writer.emit({ type: 'log', data: { level: 'warn', text } });
  }
  count.refused = true;
  return data.decision;
}

function cancelReason({ reason }: AbortSignal): string {
  return reason instanceof AppError && reason.code === 'interrupted' ? 'interrupted' : 'canceled';
}

function alreadyResolved({ permission_id, decision, decided_by }: PermissionRow): AppError {
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
