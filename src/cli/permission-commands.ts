import type { Command } from 'commander';
import { type Client, type Schemas, unwrap } from '../../client/client.ts';
import { CommandError } from './command-error.ts';
import { type Context, command, paginate, printList, report, withServer } from './commands.ts';

type Permission = Schemas['Permission'];

/** Adds `pullwright permissions list|allow|reject`. */
export function addPermissionCommands(program: Command): void {
  const permissions = program.command('permissions').summary('list, allow and reject tool calls of agents');
  command(permissions, 'list', 'list tool calls that wait for an answer').action((options) =>
    withServer(options, (context) => printList(context, openPermissions(context.connection.client), columns)),
  );
  for (const decision of ['allow', 'reject'] as const) {
    command(permissions, `${decision} <permission_id>`, `${decision} a tool call`).action(
      (permissionId: string, options) =>
        withServer(options, (context) => answerPermission(context, permissionId, decision)),
    );
  }
}

async function answerPermission(context: Context, permission_id: string, decision: 'allow' | 'reject'): Promise<void> {
  const { client } = context.connection;
  const run_id = await runOf(client, permission_id);
  const answered = await unwrap(
    client.POST('/v1/runs/{run_id}/permissions/{permission_id}', {
      params: { path: { run_id, permission_id } },
      body: { decision },
    }),
  );
  report(context, answered, decision === 'allow' ? 'Allowed.' : 'Rejected.');
}

/** @throws CommandError when the permission is not open */
async function runOf(client: Client, permissionId: string): Promise<string> {
  for await (const { permission_id, run_id } of openPermissions(client)) {
    if (permission_id === permissionId) return run_id;
  }
  throw new CommandError(`Permission ${permissionId} is not open. List open permissions: pullwright permissions list.`);
}

function openPermissions(client: Client): AsyncGenerator<Permission> {
  return paginate<Permission>(1000, (query) => unwrap(client.GET('/v1/permissions', { params: { query } })));
}

function columns({ permission_id, ticket_id, kind, title, command: asked, deadline }: Permission): string[] {
  return [permission_id, ticket_id, kind, deadline, asked ?? title];
}
