import { createKeyedMutex } from '../concurrency/keyed-mutex.ts';
import { storageFailure } from '../errors/app-error.ts';
import type { Layout } from '../files/layout.ts';
import { type UnparkDeps, unpark } from './maintenance/parking.ts';
import { findTicket, type OpenTicket, openTicket } from './open-ticket.ts';
import { finishMove } from './worktree/move-workspace.ts';
import type { TreeTools } from './worktree/snapshot.ts';

/** Runs the writes of a ticket one at a time. Ids that differ by case only share a lock. */
export type TicketLock = <T>(ticketId: string, signal: AbortSignal | undefined, task: () => Promise<T>) => Promise<T>;

export function createTicketLock(): TicketLock {
  const mutex = createKeyedMutex();
  return (ticketId, signal, task) => mutex(ticketId.toLowerCase(), signal, task).catch(throwStorageFailure);
}

/**
 * Runs a write under the lock of its ticket. Restores a parked workspace and completes an interrupted move first.
 * @throws AppError `ticket_not_found`; the errors of `unpark`, `finishMove` and the write
 */
export function withTicketLock<T>(
  deps: UnparkDeps & { ticketLock: TicketLock },
  ticketId: string,
  signal: AbortSignal | undefined,
  task: (ticket: OpenTicket) => Promise<T>,
): Promise<T> {
  const { tools, layout, ticketLock } = deps;
  return ticketLock(ticketId, signal, async () => {
    const ticket = await openTicket(tools.git, layout, ticketId);
    if (ticket.parked) await unpark(deps, ticket, { signal });
    await finishMove(tools, ticket, ticket.ref, signal);
    return task(ticket);
  });
}

/**
 * Runs a read without waiting for writes. It runs again when the workspace was parked or restored meanwhile.
 * @throws AppError `ticket_not_found`; the errors of the read
 */
export async function withTicket<T>(
  { tools, layout }: { tools: Pick<TreeTools, 'git'>; layout: Layout },
  ticketId: string,
  read: (ticket: OpenTicket) => Promise<T>,
): Promise<T> {
  const ticket = await openTicket(tools.git, layout, ticketId);
  try {
    return await read(ticket);
  } catch (error) {
    const now = await findTicket(tools.git, layout, ticketId);
    if (now !== undefined && now.parked !== ticket.parked) return read(now).catch(throwStorageFailure);
    return throwStorageFailure(error);
  }
}

/** Throws a full or failing disk as an AppError, whether git or Node found it. */
export function throwStorageFailure(error: unknown): never {
  throw storageFailure(error) ?? error;
}
