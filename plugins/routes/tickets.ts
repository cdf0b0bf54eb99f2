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
import { untilClientLeaves } from '../core/client-gone.ts';

export const ticketRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { tickets, problemResponse } = app;
  const tags = ['tickets'];

  app.post(
    '/v1/tickets',
    {
      config: { scope: ['chat', 'plan', 'dev'], grows: true },
      schema: {
        operationId: 'createTicket',
        summary: 'Create a ticket',
        description:
          'Checks the repository out on branch `ticket_<ticket_id>`. For a ticket that exists, brings the base branch in. Answers when the workspace is ready.',
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
          'Removes the workspace, the plans, the runs and the conversation; the branch on GitHub stays. Work that was not pushed is kept unless `force=true`, which also cancels runs under way.',
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
        summary: 'Bring the base branch in',
        description:
          'Fetches, and merges into the ticket branch what others pushed to it and what is new in the base branch. 409 `merge_conflict` names the files and leaves the workspace as it was, as does 422 `path_unsupported`, `path_clash` or `workspace_too_large` when the disk cannot hold the new ones; 409 `ticket_busy` while a run is under way. Each run does so itself when it begins.',
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
          'The ticket branch, with changes that are not committed yet, against its base. `Accept: text/x-diff` gives the unified diff alone.',
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
      const diff = await tickets.diff(request.params.ticket_id, untilClientLeaves(reply));
      reply.varyBy('accept');
      if (/\btext\/x-diff\b/.test(request.headers.accept ?? '')) {
        return reply.type('text/x-diff; charset=utf-8').serializer(String).send(diff.patch);
      }
      return reply.type('application/json').send(diff);
    },
  );
};
