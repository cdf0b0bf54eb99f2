import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import { TicketParams } from '../../schemas/common.ts';
import {
  CreateTicket,
  DeleteTicketQuery,
  Diff,
  examplePatch,
  newTicket,
  Ticket,
  TicketList,
  TicketQuery,
  TicketSynced,
} from '../../schemas/ticket.ts';
import { disconnectSignal } from '../core/disconnect-signal.ts';

export const ticketRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { tickets, problemResponse } = app;
  const tags = ['tickets'];

  app.post(
    '/v1/tickets',
    {
      config: { scope: ['chat', 'plan', 'dev'], needsDisk: true },
      schema: {
        operationId: 'createTicket',
        summary: 'Create a ticket',
        description:
          'Checks out the repository on branch `ticket_<ticket_id>`; for an existing ticket, merges the base branch. Answers when the workspace is ready.',
        tags,
        body: CreateTicket,
        response: { 200: Ticket, 201: { ...Ticket, examples: [newTicket] }, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { ticket, created } = await tickets.create(request.body, app.closing);
      if (created) reply.code(201).header('location', `/v1/tickets/${ticket.ticket_id}`);
      return ticket;
    },
  );

  app.get(
    '/v1/tickets',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'listTickets',
        summary: 'List tickets, newest first',
        tags,
        querystring: TicketQuery,
        response: { 200: TicketList, default: problemResponse },
      },
    },
    async (request) => tickets.list({ ...request.query, repositories: request.caller.repositories }),
  );

  app.get(
    '/v1/tickets/:ticket_id',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getTicket',
        summary: 'Read a ticket',
        tags,
        params: TicketParams,
        response: { 200: Ticket, default: problemResponse },
      },
    },
    async (request) => tickets.get(request.params.ticket_id),
  );

  app.delete(
    '/v1/tickets/:ticket_id',
    {
      config: { scope: ['dev'] },
      schema: {
        operationId: 'deleteTicket',
        summary: 'Delete a ticket',
        description:
          'Deletes the workspace, the plans, the runs and the conversation; the branch on GitHub stays. Refuses a ticket with unpushed work or an unfinished run. `force=true` deletes the work and cancels the runs.',
        tags,
        params: TicketParams,
        querystring: DeleteTicketQuery,
        response: { 204: Type.Null({ description: 'Deleted.' }), default: problemResponse },
      },
    },
    async (request, reply) => {
      const { ticket_id } = request.params;
      await tickets.delete(ticket_id, request.query.force, app.closing);
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/v1/tickets/:ticket_id/sync',
    {
      config: { scope: ['chat', 'plan', 'dev'] },
      schema: {
        operationId: 'syncTicket',
        summary: 'Merge the base branch',
        description:
          'Fetches, and merges commits that others pushed to the ticket branch, then the base branch. Each run starts with a sync. Answers that leave the workspace unchanged: 409 `merge_conflict` with the files; 422 `path_unsupported`, `path_clash` or `workspace_too_large` when the file system cannot hold the new files; 409 `ticket_busy` during a run.',
        tags,
        params: TicketParams,
        response: { 200: TicketSynced, default: problemResponse },
      },
    },
    async (request) => tickets.sync(request.params.ticket_id, app.closing),
  );

  app.get(
    '/v1/tickets/:ticket_id/diff',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getDiff',
        summary: 'Read the changes',
        description:
          'Compares the ticket branch, including uncommitted changes, with its base. `Accept: text/x-diff` returns the unified diff only.',
        tags,
        params: TicketParams,
        response: {
          200: {
            description: 'The changes.',
            content: {
              'application/json': { schema: Diff },
              'text/x-diff': { schema: Type.String(), example: examplePatch },
            },
          },
          default: problemResponse,
        },
      },
    },
    async (request, reply) => {
      const diff = await tickets.diff(request.params.ticket_id, disconnectSignal(reply));
      reply.varyBy('accept');
      if (request.accepts().type(['application/json', 'text/x-diff']) === 'text/x-diff') {
        return reply.type('text/x-diff; charset=utf-8').serializer(String).send(diff.patch);
      }
      return reply.type('application/json').send(diff);
    },
  );
};
